"""One file of a mail."""

from __future__ import annotations

import uuid

from flute_server.domain.limits import MAX_ATTACHMENTS
from flute_server.errors import FailedPrecondition, not_found
from flute_server.models import Attachment, db
from flute_server.sending.retention import removed
from flute_server.sending.story import find_email


def read(email_id: str, environment_id: uuid.UUID | None, index: int) -> Attachment:
    """The file at this place of an email's list, in this environment if one is given.

    Raises NotFound; FailedPrecondition when retention has removed it.
    """
    email = find_email(email_id, environment_id)
    if why := removed(email.content):
        raise FailedPrecondition("CONTENT_REMOVED", f"the files cannot be read any more: {why}")
    file = db.session.get(Attachment, (email.id, index + 1)) if 0 <= index < MAX_ATTACHMENTS else None
    if file is None:
        raise not_found("attachment", str(index))
    return file
