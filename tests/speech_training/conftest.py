from tests.speech.conftest import driver

__all__ = ["driver"]
