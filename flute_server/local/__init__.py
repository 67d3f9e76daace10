"""`flute up`: all on one machine, PostgreSQL and Valkey embedded. The supervisor is light."""
