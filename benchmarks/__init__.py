"""What `make bench` measures, each figure beside the plainest thing that does the same work.

    access       a person's request through the deployed product: time, where it goes, what it counts
    cold_start   each function's imports and clients, against boto3 alone with the same clients
    many_rows    a million rows of one person, against a bare COPY into a zip
    large_object the memory that a bundle takes with one large original in it, against a small one

Nothing here is a test: the machine may be busy, and a figure that misses its budget is reported, not hidden.
What is compared runs in turns, so that whatever else the machine does falls on both.
"""
