"""Where the gateway meets the network towards vendors."""
