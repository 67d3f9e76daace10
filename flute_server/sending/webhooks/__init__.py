"""Events told to the owner's own programs, per Standard Webhooks (https://www.standardwebhooks.com)."""
