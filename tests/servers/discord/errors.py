"""What Discord answers when it does not do what was asked (Opcodes and Status Codes, JSON Error Codes)."""

from servers.discord.wire import Json

_MESSAGES = {
    10002: (404, "Unknown Application"),
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10014: (400, "Unknown Emoji"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    40001: (401, "Unauthorized"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    40094: (400, "This interaction has too many follow-up messages."),
    50001: (403, "Missing Access"),
    50003: (403, "Cannot execute action on a DM channel"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "Missing Permissions"),
    50027: (401, "Invalid Webhook Token"),
    50033: (400, "Invalid Recipient(s)"),
    50109: (400, "The request body contains invalid JSON."),
    50278: (403, "Cannot send messages to this user due to having no mutual guilds"),
    160002: (403, "You cannot reply without permission to read message history"),
}


class ApiError(Exception):
    """An answer that is an error: `status` of HTTP, and the JSON body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def refusal(code: int) -> ApiError:
    """Return the error of that JSON error code."""
    status, message = _MESSAGES[code]
    return ApiError(status, {"message": message, "code": code})


def unauthorized() -> ApiError:
    """Return what a wrong bot token is answered with."""
    return ApiError(401, {"message": "401: Unauthorized", "code": 0})


def no_route() -> ApiError:
    """Return what an unknown address is answered with."""
    return ApiError(404, {"message": "404: Not Found", "code": 0})


def invalid(where: str, code: str, message: str) -> ApiError:
    """Return 50035 for the field at *where*, whose parts are joined by dots: ``embeds.0.title``."""
    errors: Json = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(where.split(".") if where else []):
        errors = {part: errors}
    return ApiError(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})


def text(value: object, where: str, at_most: int, at_least: int = 0) -> str:
    """Return *value*, a string of so many characters.

    Raises:
        ApiError: it is not.
    """
    if not isinstance(value, str):
        raise invalid(where, "STRING_TYPE_CONVERT", "Could not interpret value as string.")
    if not at_least <= len(value) <= at_most:
        if at_least and not value:
            raise invalid(where, "BASE_TYPE_REQUIRED", "This field is required")
        if at_least:
            raise invalid(where, "BASE_TYPE_BAD_LENGTH", f"Must be between {at_least} and {at_most} in length.")
        raise invalid(where, "BASE_TYPE_MAX_LENGTH", f"Must be {at_most} or fewer in length.")
    return value


def number(value: object, where: str, low: float, high: float) -> int:
    """Return *value*, a whole number from *low* to *high*.

    Raises:
        ApiError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(where, "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
    if not low <= value <= high:
        raise invalid(where, "NUMBER_TYPE_RANGE", f"int value should be between {low} and {high}.")
    return value


def choice(value: object, where: str, among: object) -> None:
    """Check that *value* is one of *among*.

    Raises:
        ApiError: it is not.
    """
    if isinstance(value, bool) or not hasattr(among, "__contains__") or value not in among:
        raise invalid(where, "BASE_TYPE_CHOICES", "Value must be one of the choices that there are.")


def items(value: object, where: str, at_most: int, at_least: int = 0) -> list[Json]:
    """Return *value*, a list of so many objects; nothing is an empty one.

    Raises:
        ApiError: it is not.
    """
    if value is None:
        value = []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(where, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if not at_least <= len(value) <= at_most:
        message = f"Must be between {at_least} and {at_most} in length."
        raise invalid(where, "BASE_TYPE_BAD_LENGTH", message)
    return value


def distinct(values: list[str], where: str, code: str) -> None:
    """Check that no value is there twice.

    Raises:
        ApiError: one is.
    """
    if len(values) != len(set(values)):
        raise invalid(where, code, "It is there twice.")
