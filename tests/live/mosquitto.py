"""mosquitto as Debian ships it, on loopback: with its defaults, or with what conf/mosquitto/ recommends."""

from __future__ import annotations

from pathlib import Path

from tests.live.programs import LOOPBACK, Ports, Program, require, wait_until

CONF = Path(__file__).parents[2] / "conf" / "mosquitto"


class Mosquitto(Program):
    """settings: lines after the listener; none = what mosquitto does when nobody says anything."""

    def __init__(self, directory: Path, ports: Ports, settings: str = "", *, port: int | None = None) -> None:
        self.port = ports.tcp() if port is None else port
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._settings = settings
        super().__init__(self._arguments(), directory, "mosquitto")
        self._wait()

    def again(self) -> Mosquitto:
        """A new one in its place, after it has ended."""
        return Mosquitto(self.directory, Ports(), self._settings, port=self.port)

    def _arguments(self) -> list[str]:
        configuration = self.directory / "mosquitto.conf"
        listener = f"listener {self.port} {LOOPBACK}\nallow_anonymous true\n"
        configuration.write_text(f"{listener}user root\n{self._settings}")
        return [require("mosquitto", "mosquitto"), "-v", "-c", str(configuration)]

    def _wait(self) -> None:
        wait_until(lambda: "running" in self.output() or self.exit_code is not None, "mosquitto to run")
        assert self.exit_code is None, self.tail()


def fleet_configuration(directory: Path, fleet: str, port: int, acl: str = "") -> Path:
    """conf/mosquitto/fleet.conf as an operator would adapt it: name, port, authorities. Certificates lie beside it."""
    access = (CONF / "fleet.acl").read_text().replace("FLEET", fleet)
    (directory / "fleet.acl").write_text(access + acl)
    text = (CONF / "fleet.conf").read_text().replace("listener 8883", f"listener {port} {LOOPBACK}")
    path = directory / "fleet.conf"
    path.write_text(text.replace("connection_messages false", "user root"))
    return path
