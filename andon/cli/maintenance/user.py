"""`andon user`: users and their roles."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from andon.cli import authentication, output
from andon.cli.context import command_context
from andon.cli.options import Json, json_keys_help
from foundation.clock import utc_now

if TYPE_CHECKING:
    from storage.auth.users import User

app = typer.Typer(
    help="Add and list users, change their roles and passwords. While there are none, nobody has to log in.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The user, for example m.weber.", show_default=False)]
RoleName = Literal["viewer", "inspector", "engineer", "admin"]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", metavar="", help="Read the new password from a line of stdin.")
]

KEYS = ("name", "role", "has_password", "created_at", "disabled_at")


@app.command()
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[RoleName, typer.Option(help="What they may do.", show_default=False)],
    password_stdin: PasswordStdin = False,
    without_password: Annotated[
        bool, typer.Option("--without-password", metavar="", help="They log in by another service (OIDC) only.")
    ] = False,
) -> None:
    """Add a user; the first one is an admin, and from then on everybody has to log in."""
    from andon import wiring
    from storage.actions import users
    from storage.auth.actors import Role

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        password = None if without_password else authentication.read_new_password(password_stdin)
        with database.begin() as session:
            added = users.add(session, actor, name, Role(role), password, utc_now())
    output.print_result(f"Added user {added.name} with the role {added.role}.")


@app.command("list", epilog=json_keys_help("each user", KEYS))
def list_users(context: typer.Context, json: Json = False) -> None:
    """List the users."""
    from andon import wiring
    from storage.auth import users

    with wiring.open_database(command_context(context).settings()) as database, database.read() as session:
        found = users.list_all(session)
    if json:
        output.write_json([json_of(user) for user in found])
        return
    output.write_table(
        ["user", "role", "password", "added at (UTC)", "disabled at (UTC)"],
        [
            (user.name, user.role, "yes" if user.has_password else "no", user.created_at, user.disabled_at)
            for user in found
        ],
        empty="There are no users: everybody may do everything; add the first: andon user add NAME --role admin",
    )


@app.command()
def role(
    context: typer.Context,
    name: Name,
    role: Annotated[RoleName, typer.Argument(help="What they may do from now on.", show_default=False)],
) -> None:
    """Change a user's role."""
    from storage.actions import users
    from storage.auth.actors import Role

    with authentication.authenticated_session(context) as (session, actor):
        changed = users.set_role(session, actor, name, Role(role), utc_now())
    output.print_result(f"User {changed.name} has the role {changed.role}.")


@app.command()
def password(context: typer.Context, name: Name, password_stdin: PasswordStdin = False) -> None:
    """Change a password, your own or as an admin anybody's; they are logged out everywhere."""
    from andon import wiring
    from storage.actions import users

    with wiring.open_database(command_context(context).settings()) as database:
        actor = authentication.current_actor(database)
        new = authentication.read_new_password(password_stdin)
        with database.begin() as session:
            users.set_password(session, actor, name, new, utc_now())
    output.print_result(f"User {name} has a new password.")


@app.command()
def disable(context: typer.Context, name: Name) -> None:
    """Disable a user, who can no longer log in; what they did stays in the audit log."""
    from storage.actions import users

    with authentication.authenticated_session(context) as (session, actor):
        users.disable(session, actor, name, utc_now())
    output.print_result(f"User {name} can't log in any more.")


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a disabled user log in again."""
    from storage.actions import users

    with authentication.authenticated_session(context) as (session, actor):
        users.enable(session, actor, name, utc_now())
    output.print_result(f"User {name} can log in again.")


def json_of(user: "User") -> dict[str, object]:
    """Return a user as a JSON object, without the password."""
    return {
        "name": user.name,
        "role": str(user.role),
        "has_password": user.has_password,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
