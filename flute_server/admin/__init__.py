"""What people set up: accounts, environments, provider accounts, routes and keys."""
