"""What surrounds the product: how it is built, the sample community, and the cloud it runs in locally."""
