"""The app's life."""

from tests.fixtures.app import Site


async def test_an_app_that_is_stopped_as_soon_as_it_started_ends(site: Site) -> None:
    """Its follower of stop signals is just connecting then; the fixture waits for the end of its lifespan."""
    assert site.app is not None
