"""`make up`: everything running, for a person to click through."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from typing import Any

from psycopg.conninfo import make_conninfo

from infra.craftzone import load, people, personas
from infra.local import deploy, down, mailing, postgres, processes
from infra.local.cloud import Cloud
from infra.local.home import Home, LocalCloudError
from infra.local.show import Show

DEFAULT_PORT = 4566
DEFAULT_PEOPLE = 2000
SEED = 1


@dataclass(frozen=True)
class Running:
    """A local cloud with everything in it."""

    home: Home
    cloud: Cloud
    server: postgres.Server
    stores: load.Stores
    community: people.Community
    url: str  # of the public pages, without a slash at the end


def up(home: Home, port: int | None, wanted: int | None, show: Show) -> int:
    """Start what is not running, deploy what stands in the folder now, load the people if there are none
    yet."""
    running = bring_up(home, port, wanted, show)
    show.say()
    tell(running, show)
    show.say(f"\n{show.total():.0f} s. `make down` stops it and keeps what it holds.")
    return 0


def bring_up(
    home: Home,
    port: int | None,
    wanted: int | None,
    show: Show,
    *,
    clean: bool = False,
    parameters: Mapping[str, str] | None = None,
    couriered: bool = True,
) -> Running:
    """The local cloud of `home`, running and loaded.

    `port` and `wanted` people: None takes what the home has, or the default. `clean` begins from nothing.
    `parameters` of the product's template differ from what `deploy` gives; `couriered`: see `generate`. If it
    did not run before and anything fails or is interrupted, everything is stopped again. Raises
    LocalCloudError.
    """
    if clean:
        _refuse_taken(port or DEFAULT_PORT, processes.running_on(home))  # before anything is deleted
        down.take_down(home)
        home.erase()
    before = processes.running_on(home)
    held = home.note("held")
    if before is None:
        if processes.left_over(home):
            show.say("An earlier run was left half started: stopping what remains of it.")
            down.take_down(home)
        if home.root.exists() and not held.get("saved"):
            if held:
                show.say("The last run did not end in order, so what it held is lost: starting anew.")
            postgres.stop(home)
            home.erase()
            held = {}
    elif port not in (None, before):
        raise LocalCloudError(f"it already runs on port {before}; `make down` first to move it to {port}")
    if wanted is not None:
        wanted = max(wanted, len(personas.PERSONAS))
    if held and wanted not in (None, held["people"]):
        raise LocalCloudError(
            f"this cloud holds {held['people']} people; `make clean` first to load {wanted}"
        )
    port = before or port or held.get("port") or DEFAULT_PORT
    try:
        people_wanted = wanted or DEFAULT_PEOPLE
        return _bring_up(home, port, people_wanted, show, before is not None, parameters or {}, couriered)
    except BaseException:
        if before is None:
            down.take_down(home)
        raise


def tell(running: Running, show: Show) -> None:
    """Where a person can go on."""
    cloud = running.cloud
    persona = running.community.person("everything")
    show.say(f"form      {running.url}/")
    show.say(f"mails     {cloud.mailbox}")
    show.say(f"a member  {persona.email}, password {load.DEMO_PASSWORD}")
    show.say(f"desk      {running.url}/desk")
    people = ", ".join(deploy.DESK_PEOPLE.values())
    show.say(f"          {people}, password {deploy.DESK_PASSWORD}")
    secrets = running.home.root / "secrets.json"
    show.say(
        f"database  host={postgres.HOST} port={running.server.port} user=postgres, password in {secrets}"
    )
    settings = " ".join(f"{name}={cloud.environment[name]}" for name in list(cloud.environment)[:4])
    show.say(f"aws       {settings} aws stepfunctions list-state-machines")


def _bring_up(
    home: Home,
    port: int,
    wanted: int,
    show: Show,
    running: bool,
    parameters: Mapping[str, str],
    couriered: bool,
) -> Running:
    cloud = Cloud(port)
    held = home.note("held")
    if not running:
        _refuse_taken(port, None)
        with show.stage("start PostgreSQL and the AWS services"):
            server = postgres.start(home)
            processes.start(home, port)
            if held:
                home.take_note("held", held | {"saved": False})
    else:
        server = postgres.start(home)
    with show.stage("deploy the community's stores"):
        outputs = deploy.deploy_community(home, cloud, server)
    moment = datetime.fromisoformat(held["now"]) if held else None
    community = people.generate(held.get("people", wanted), SEED, moment, couriered=couriered)
    stores = _stores(home, cloud, server, fresh=not held)
    loading = in_background(lambda: load.load(community, stores)) if not held else None
    with show.stage("build and deploy the product"):
        deploy.build_product(outputs["UserPoolId"], mailing.start(home))
        url = deploy.deploy_product(home, cloud, outputs["UserPoolId"], parameters)
    if loading:
        with show.stage(f"load {len(community)} people"):
            loaded = loading.result()
        held = {"people": len(community), "now": community.now.isoformat(), "port": port}
        records = sum(loaded.counts.values())
        show.say(f"  {records:,} records in {loaded.seconds:.1f} s, while the product was deployed")
    else:
        community.learn_sign_ins(load.sign_ins(stores))
    home.take_note("held", held | {"port": port, "saved": False})
    return Running(home, cloud, server, stores, community, url)


def _refuse_taken(port: int, ours: int | None) -> None:
    taken = None if port == ours else processes.port_taken(port)
    if taken:
        raise LocalCloudError(taken)


def _stores(home: Home, cloud: Cloud, server: postgres.Server, *, fresh: bool) -> load.Stores:
    owner = make_conninfo(
        host=postgres.HOST, port=server.port, user=postgres.OWNER, password=server.password, dbname="postgres"
    )
    if fresh:
        databases = load.create_databases(owner, home.secret("dsr"))
    else:
        databases = {store: make_conninfo(owner, dbname=store) for store in load.SQL_STORES}
    others = mailing.others_of(home)
    return load.Stores.of_stack(databases, others, session=cloud.session, endpoint_url=cloud.endpoint)


def in_background(work: Callable[[], Any]) -> Future[Any]:
    """Do `work` beside the rest. Unlike a pool's, this thread keeps nobody from leaving after Ctrl-C."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whoever asks for the result gets it
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
