"""SPF, DKIM and DMARC of a FROM domain: what DNS says, what it should say, and what to do. Pure."""
