"""scs-deploy installs and keeps alive the base layer of a Sovereign Cloud Stack cloud."""

__version__ = "0.1.0"
