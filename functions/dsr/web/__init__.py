"""The pages: router, forms, templates, static files. Server-rendered; works without any script."""
