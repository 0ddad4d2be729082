"""The template, transformed once for all tests of it."""

import pytest

from tests.template.cloudformation import Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """As it is deployed with the parameters' defaults."""
    return Stack()


@pytest.fixture(scope="session")
def in_vpc() -> Stack:
    """As it is deployed with the SQL worker in a VPC, and with text messages."""
    return Stack(SqlSubnetIds="subnet-1,subnet-2", SqlSecurityGroupIds="sg-1", TextMessages="true")
