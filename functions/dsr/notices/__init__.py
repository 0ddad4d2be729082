"""Mails to the requester: their words, and when they are sent."""
