"""``GET /docs``: Swagger UI with assets served from here, no other host involved."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse

from service.problems import ProblemException

router = APIRouter(include_in_schema=False)

# The package carries the assets of Swagger UI; its own code is not used.
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs", name="readDocs")
async def read_docs(request: Request) -> HTMLResponse:
    """Show the interactive documentation."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{request.app.title} {request.app.version}",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/docs/assets/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    )
    return page


@router.get("/docs/assets/{name}", name="readDocsAsset")
async def read_docs_asset(name: str) -> Response:
    """Serve an asset of the documentation page."""
    if name not in ASSETS:
        raise ProblemException("not_found", f"no such asset: {name[:60]}")
    content = files("fastapi_swagger.resources").joinpath(name).read_bytes()
    etag = hashlib.sha256(content).hexdigest()[:16]
    headers = {"Cache-Control": "public, max-age=86400", "ETag": f'"{etag}"'}
    return Response(content, media_type=ASSETS[name], headers=headers)


@router.get("/", name="readRoot")
async def read_root() -> RedirectResponse:
    """Lead to the documentation."""
    return RedirectResponse("/docs", status_code=307)
