"""The HTTP door: a Flask blueprint for a service, and the WSGI application around it."""

from bentotask.web.blueprint import ServiceRuntime, create_blueprint, create_wsgi

__all__ = ["ServiceRuntime", "create_blueprint", "create_wsgi"]
