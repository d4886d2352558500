"""Users: logging in and out, one's own password, and the page where editors add and remove others."""

import re

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...http.forms import Told, local
from ...http.sessions import Session, fingerprint
from ...http.texts import plain
from .. import times
from ..document import EDITOR, ROLES, InvalidEdit, new_user, user_id
from ..store import Document, Stale, Store
from . import passwords
from .texts import counted
from .visits import Visit

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
"""What a user's name can be (:func:`..document.new_user`): nothing else is looked for."""

# --- for others: the command line makes the first user with it


async def add_user(store: Store, name: str, role: str, password: str) -> None:
    """Put a new user into the store, ``role`` being ``editor`` or ``friend``. Raises :class:`InvalidEdit` for a name or
    role that cannot be, ``ValueError`` for a password that is too short, and :class:`Stale` where the name is taken."""
    user = new_user(name, role, "", now=times.now())
    user["password"] = await run_in_threadpool(passwords.hash_password, password)
    if await store.get(user["_id"]) is not None:
        raise Stale(f"there is a user {name} already")
    await store.put(user)


async def set_password(store: Store, user: Document, password: str) -> Document:
    """Give a user another password; the user's document then. Ends all their sessions. Raises ``ValueError``."""
    hashed = await run_in_threadpool(passwords.hash_password, password)
    after = {key: value for key, value in user.items() if key != "_conflicts"}
    after |= {"password": hashed, "changed": times.now()}
    await store.put(after)
    return after


# --- logging in


async def login(visit: Visit) -> Response:
    """The page."""
    if visit.visitor.name:
        return visit.go(local(visit.parameters.get("next", "/")))
    message = "" if await visit.site.store.users() else "Nobody can log in yet: `jollyae album user` adds a user."
    return await visit.page("login.html", next=local(visit.parameters.get("next", "/")), name="", message=message)


async def enter(visit: Visit) -> Response:
    """Look at name and password."""
    site, form = visit.site, visit.form
    name, password = form.text("name").strip().lower()[:100], str(form.data.get("password", ""))
    client = visit.request.client
    keys = (f"name {name}", f"from {client.host if client else ''}")
    wait = max(map(site.throttle.wait, keys))
    if wait > 0:
        raise Told(
            429,
            f"Too many wrong passwords. Try again in {counted(int(wait) + 1, 'second')}.",
            {"Retry-After": str(int(wait) + 1)},
        )
    for key in keys:  # counted before the answer is known, so that many at once gain nothing
        site.throttle.fail(key)
    site.forget_users()
    user = await site.user(name) if NAME.fullmatch(name) else None
    hashed = str(user.get("password")) if user and user.get("type") == "user" else passwords.NOBODYS
    async with site.hashing:
        is_right = await run_in_threadpool(passwords.is_password, password, hashed)
    goal = local(form.text("next"))
    if user is None or not is_right:
        message = "Name and password do not match."
        return await visit.page("login.html", status=403, next=goal, name=name, message=message)
    for key in keys:
        site.throttle.succeed(key)
    response = visit.go(goal)
    sessions = await site.sessions()
    sessions.write(visit.request, response, Session(name, fingerprint(hashed)))
    return response


async def leave(visit: Visit) -> Response:
    """Log out."""
    response = visit.go("/")
    (await visit.site.sessions()).end(visit.request, response)
    if visit.request.url.scheme == "https":
        response.headers["Clear-Site-Data"] = '"cache"'  # the pictures that were kept for ever
    return response


# --- one's own


async def account(visit: Visit, *, message: str = "", status: int = 200) -> Response:
    """One's own page."""
    if visit.parameters.get("changed"):
        message = message or "Your password is changed."
    return await visit.page("account.html", message=message, status=status)


async def change_password(visit: Visit) -> Response:
    """Give oneself another password."""
    user = await visit.site.store.get(user_id(visit.visitor.name))
    if user is None:
        raise HTTPException(403)
    key = f"name {visit.visitor.name}"
    if visit.site.throttle.wait(key) > 0:
        raise HTTPException(429)
    async with visit.site.hashing:
        is_right = await run_in_threadpool(passwords.is_password, _raw(visit, "old"), str(user.get("password")))
    if not is_right:
        visit.site.throttle.fail(key)
        return await account(visit, message="That is not your present password.", status=403)
    try:
        async with visit.site.hashing:
            after = await set_password(visit.site.store, user, _raw(visit, "new"))
    except ValueError as error:
        return await account(visit, message=f"{str(error).capitalize()}.", status=400)
    visit.site.forget_users()
    response = visit.go("/account?changed=1")
    sessions = await visit.site.sessions()
    sessions.write(visit.request, response, Session(visit.visitor.name, fingerprint(after["password"])))
    return response


def _raw(visit: Visit, name: str) -> str:
    """A password as it was typed."""
    return str(visit.form.data.get(name, ""))


# --- all of them


async def users(visit: Visit, *, message: str = "", status: int = 200, name: str = "") -> Response:
    """All users, and the form for another."""
    found = await visit.site.store.users()
    return await visit.page("users.html", status=status, message=message, users=found, roles=ROLES, typed=name)


async def invite(visit: Visit) -> Response:
    """Add a user."""
    name = visit.form.text("name").strip().lower()
    try:
        async with visit.site.hashing:
            await add_user(visit.site.store, name, visit.form.text("role"), _raw(visit, "password"))
    except InvalidEdit as error:
        return await users(visit, message=error.sentence, status=400, name=name)
    except Stale:
        return await users(visit, message=f"There is a user {plain(name, 64)} already.", status=409, name=name)
    except ValueError as error:
        return await users(visit, message=f"{str(error).capitalize()}.", status=400, name=name)
    visit.site.forget_users()
    return visit.go("/users")


async def dismiss(visit: Visit) -> Response:
    """Remove a user, when one is sure; never the last editor, who could not be replaced from here."""
    name = visit.form.text("name")
    if not visit.form.text("sure"):
        return await users(visit, message="Say that you are sure, and it is done.", status=400)
    everybody = await visit.site.store.users()
    others = [user for user in everybody if user.get("role") == EDITOR and user.get("name") != name]
    gone = next((user for user in everybody if user.get("name") == name), None)
    if gone is None:
        raise HTTPException(404)
    if not others:
        return await users(visit, message="The last editor stays.", status=409)
    await visit.site.store.remove(gone["_id"], gone["_rev"])
    visit.site.forget_users()
    return visit.go("/users")
