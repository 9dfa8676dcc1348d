"""Rights: the least role for each action (docs/adr/0019)."""

from typing import Literal, get_args

from storage.auth.actors import Actor, Role
from storage.errors import PermissionDenied

Action = Literal[
    "review.claim",
    "review.label",
    "review.undo",
    "normal_set.propose",
    "normal_set.add",
    "normal_set.activate",
    "normal_set.rollback",
    "threshold.set",
    "golden_frame.set",
    "station.add",
    "station.edit",
    "job.start",
    "job.cancel",
    "dead_letter.replay",
    "output.retry",
    "output.remove",
    "alert.acknowledge",
    "alert.resolve",
    "alert.mute",
    "alert.unmute",
    "alert_rule.set",
    "channel.add",
    "channel.set",
    "channel.remove",
    "channel.test",
    "settings.change",
    "user.add",
    "user.role",
    "user.password",
    "user.own_password",
    "user.disable",
    "user.enable",
]

MIN_ROLE: dict[Action, Role] = {
    "review.claim": Role.INSPECTOR,
    "review.label": Role.INSPECTOR,
    "review.undo": Role.INSPECTOR,
    "normal_set.propose": Role.INSPECTOR,
    "normal_set.add": Role.ENGINEER,
    "normal_set.activate": Role.ENGINEER,
    "normal_set.rollback": Role.ENGINEER,
    "threshold.set": Role.ENGINEER,
    "golden_frame.set": Role.ENGINEER,
    "station.add": Role.ENGINEER,
    "station.edit": Role.ENGINEER,
    "job.start": Role.ENGINEER,
    "job.cancel": Role.ENGINEER,
    "dead_letter.replay": Role.ENGINEER,
    "output.retry": Role.ENGINEER,
    "output.remove": Role.ENGINEER,
    "alert.acknowledge": Role.INSPECTOR,
    "alert.resolve": Role.ENGINEER,
    "alert.mute": Role.ENGINEER,
    "alert.unmute": Role.ENGINEER,
    "alert_rule.set": Role.ENGINEER,
    "channel.add": Role.ADMIN,
    "channel.set": Role.ADMIN,
    "channel.remove": Role.ADMIN,
    "channel.test": Role.ADMIN,
    "settings.change": Role.ADMIN,
    "user.add": Role.ADMIN,
    "user.role": Role.ADMIN,
    "user.password": Role.ADMIN,
    "user.own_password": Role.VIEWER,
    "user.disable": Role.ADMIN,
    "user.enable": Role.ADMIN,
}
ACTIONS: tuple[Action, ...] = get_args(Action)


def is_allowed(actor: Actor, action: Action) -> bool:
    """Return whether the role allows the action; for showing what can be done, never for protection."""
    return actor.role.rank >= MIN_ROLE[action].rank


def require(actor: Actor, action: Action) -> None:
    """Raise `PermissionDenied`, naming the roles that may, unless the actor's role allows the action."""
    if not is_allowed(actor, action):
        roles = [str(role) for role in Role if role.rank >= MIN_ROLE[action].rank]
        listed = roles[0] if len(roles) == 1 else f"{', '.join(roles[:-1])} or {roles[-1]}"
        raise PermissionDenied(f"The {actor.role} {actor.name} may not do {action}: it takes the role {listed}.")
