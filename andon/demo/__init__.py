"""The demo: a simulated line from camera to verdict, as processes on this machine."""
