"""How much one request may hold. The README and the API reference state these figures."""

from datetime import timedelta

MAX_RECIPIENTS = 50  # to + cc + bcc: the smallest cap of the providers (Postmark)
MAX_REPLY_TO = 10
MAX_SUBJECT = 998  # characters; RFC 5322 section 2.1.1 caps a line at 998
MAX_BODY_BYTES = 5 * 1024 * 1024  # text and html each (Postmark)
MAX_HEADERS = 50
MAX_HEADER_VALUE = 2000  # characters
MAX_ATTACHMENTS = 50
MAX_CONTENT_BYTES = 25 * 1024 * 1024  # bodies and files together, before encoding
MAX_FILENAME = 255  # characters
MAX_TAGS = 10
MAX_TAG = 128  # characters
MAX_METADATA = 50
MAX_METADATA_KEY = 64  # characters
MAX_METADATA_VALUE = 1000  # characters
MAX_NAME = 320  # characters of a display name
MAX_BATCH = 500  # mails; MAX_CONTENT_BYTES holds for all of them together
MAX_AHEAD = timedelta(days=30)  # of send_at
MAX_REQUEST_ID = 255  # characters of an idempotency key
