"""Starts, places, shows, records, stops and refuses work. Nothing here can change a weight, a figure or an image, so no stage
depends on it and no run key holds it. It imports only itself."""
