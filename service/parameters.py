"""Parameters of the URL: those that a route does not have, or that come twice, are refused, as such fields of a body are."""

from typing import Any

from fastapi import Request

from service.problems import MAX_ECHO, ProblemException

API = "/v1/"


def refuse_unknown(request: Request) -> None:
    """Refuse parameters that reading a resource does not take, or that come twice; what is posted has all in its body.

    Raises:
        ProblemException: there is one.
    """
    if request.method != "GET" or not request.url.path.startswith(API):
        return
    route: Any = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if given.count(name) > 1 and name in known:
            raise ProblemException("bad_request", f"{name!r} came {given.count(name)} times; give it once")
        if name not in known:
            rule = f"there are {', '.join(known)}" if known else "it takes none"
            raise ProblemException(
                "bad_request", f"{name[:MAX_ECHO]!r} is no parameter of {route.path}; {rule}: leave it out"
            )
