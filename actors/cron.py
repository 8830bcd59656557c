"""When a cron expression is due, in a time zone: by `cronsim`, which is imported when it is needed. Daylight saving is its business.

As Debian's cron: a run in the hour that is left out in spring is made when that hour would have ended, and one in the hour that comes
twice in autumn is made once, unless it is one of a run every so many minutes or hours.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tallystick.domain.errors import DefinitionError


class CronDates:
    """What the module of schedules asks; keeps nothing."""

    def after(self, expression: str, time_zone: str, moment: datetime) -> datetime:
        """The first due time after that moment, UTC.

        Raises:
            DefinitionError: the expression or the zone is none, it is never due, or cronsim is not installed.
        """
        return next(each for each in _dates(expression, time_zone, moment, reverse=False) if each > moment)

    def until(self, expression: str, time_zone: str, moment: datetime) -> datetime:
        """The last due time that is not after that moment, UTC. Raises as `after`."""
        later = moment + timedelta(minutes=1)
        return next(each for each in _dates(expression, time_zone, later, reverse=True) if each <= moment)


def _dates(expression: str, time_zone: str, moment: datetime, *, reverse: bool) -> Iterator[datetime]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - only schedules by cron need it

    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - as above
    except ImportError as error:
        msg = "Schedules by cron need cronsim: pip install 'tallystick[schedules]'."
        raise DefinitionError(msg) from error
    try:
        dates = CronSim(expression, moment.astimezone(ZoneInfo(time_zone)), reverse)
    except CronSimError as error:
        msg = f"{expression!r} is no cron expression: {error}. It has five fields: minute, hour, day of month, month, day of week."
        raise DefinitionError(msg) from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        msg = f"{time_zone!r} is no time zone that this machine knows, as 'Europe/Berlin' is."
        raise DefinitionError(msg) from error
    for each in dates:
        yield each.astimezone(UTC)
    msg = f"{expression!r} is never due."
    raise DefinitionError(msg)
