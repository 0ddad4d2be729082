"""The `dsr` command line: for the engineer who writes the data map and operates the deployment."""
