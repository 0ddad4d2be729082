"""A running local cloud as seen from outside: its clients, its addresses, its mailbox."""

import json
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import boto3
from botocore.config import Config

from infra.local import processes

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Mail:
    """A mail that the product sent."""

    to: str
    subject: str
    text: str
    sent_at: float  # seconds since 1970


@dataclass(frozen=True)
class Cloud:
    """The local cloud on `port`, seen with the rights of the account's root."""

    port: int

    @property
    def endpoint(self) -> str:
        """Where the AWS APIs answer."""
        return f"http://{HOST}:{self.port}"

    @property
    def mailbox(self) -> str:
        """Where the mails that were sent can be read, as JSON."""
        return f"{self.endpoint}/_ministack/ses/messages"

    @property
    def environment(self) -> dict[str, str]:
        """What a tool must find in its environment to work on this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": processes.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": processes.SECRET_KEY,
            "AWS_DEFAULT_REGION": processes.REGION,
            "AWS_REGION": processes.REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def session(self) -> boto3.Session:
        """A session of the account's root, whatever the caller's own AWS set-up is."""
        return boto3.Session(
            aws_access_key_id=processes.ACCESS_KEY,
            aws_secret_access_key=processes.SECRET_KEY,
            region_name=processes.REGION,
        )

    def client(self, service: str) -> Any:
        """A client of one AWS service."""
        config = Config(retries={"mode": "standard", "max_attempts": 4}, s3={"addressing_style": "path"})
        make: Any = self.session.client  # typed per service, and here the service is a value
        return make(service, endpoint_url=self.endpoint, config=config)

    def api_url(self, api: str, stage: str = "prod") -> str:
        """The address of a REST API for a browser.

        Browsers lead every name under localhost to this machine; Python's resolver does not, see `browser`.
        The address by path (/restapis/...) would work for both, and would hide pages that link to the wrong
        base path.
        """
        return f"http://{api}.execute-api.localhost:{self.port}/{stage}"

    def mails(self, to: str | None = None) -> list[Mail]:
        """The mails sent so far, oldest first, all or to one address."""
        with urllib.request.urlopen(self.mailbox, timeout=10) as answer:  # noqa: S310
            accounts = json.load(answer)["messages"]
        mails = [
            Mail(", ".join(message["To"]), message["Subject"], message["BodyText"], message["Timestamp"])
            for messages in accounts.values()
            for message in messages
        ]
        return sorted((mail for mail in mails if to is None or mail.to == to), key=lambda mail: mail.sent_at)

    def texts(self, number: str) -> list[str]:
        """The text messages sent to a phone number so far, oldest first."""
        sent = f"{self.endpoint}/_ministack/sns/sms-messages?{urlencode({'phoneNumber': number})}"
        with urllib.request.urlopen(sent, timeout=10) as answer:  # noqa: S310
            return [message["Message"] for message in json.load(answer)["sms_messages"][number]]
