"""A Motion JPEG camera over HTTP: the request, and the images of the answer."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from ingest.sources.video.decoding import StreamImage, jpeg_image, without_credentials
from ingest.sources.video.multipart import read_parts

HTTP_SCHEMES = frozenset(("http", "https"))
REFUSED = frozenset((http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN))
"""Answers that stay the same until a person changes something."""

HTTP_ERRORS = (OSError, http.client.HTTPException, ValueError)
"""What opening and reading raise; `ValueError` for an answer that is not understood."""


def open_http(address: str, timeout_s: float) -> http.client.HTTPResponse:
    """Request an address, with its user name and password by Basic or Digest authentication where it has them.

    A certificate is not verified: cameras make their own.

    Args:
        address: The address, with ``http`` or ``https``.
        timeout_s: The longest time to wait for the connection, and afterwards for the next bytes.

    Raises:
        OSError: And the others of `HTTP_ERRORS`, which `describe_http_error` describes.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    parts = urlsplit(address)
    if parts.username is not None:
        name, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, without_credentials(address), name, password)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    response = opener.open(without_credentials(address), timeout=timeout_s)
    assert isinstance(response, http.client.HTTPResponse)
    return response


def is_multipart(response: http.client.HTTPResponse) -> bool:
    """Return whether an answer is a stream of images, each a part."""
    return response.headers.get_content_maintype() == "multipart"


def is_text(response: http.client.HTTPResponse) -> bool:
    """Return whether an answer is a page for people, such as a login."""
    return response.headers.get_content_type() in {"text/html", "text/plain"}


def part_images(response: http.client.HTTPResponse, on_corrupt: Callable[[], None]) -> Iterator[StreamImage]:
    """Yield the image of each part; call `on_corrupt` for a part that is none.

    Raises:
        OSError: And the others of `HTTP_ERRORS`: reading fails.
    """
    for content in read_parts(response, response.headers.get_boundary("")):
        image = jpeg_image(content)
        if image is None:
            on_corrupt()
        else:
            yield image


def describe_http_error(error: Exception) -> str:
    """Return the reason why a request or its answer failed, as a short text."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "no data arrived in time"
    if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "the stream ended"
    return (getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).rstrip(".")
