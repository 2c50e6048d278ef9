"""Runs tools/ci as the CI systems would: each of the three takes the same job and does
with it what its documentation says that the system does.

    outcome = Buildkite(workspace, env).run(job, "npm ci")

A job is what one writes into a pipeline (path, key, ...), whichever system it is for.
"""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from larder_testlib.namespaces import container

CI = Path(__file__).resolve().parents[3] / "tools" / "ci"
JOB_WITHIN = 300


@dataclass
class Job:
    store: str
    path: str
    key: str
    fallback_keys: list = field(default_factory=list)
    writable: bool = True
    upper_dir: str = ""


@dataclass
class Outcome:
    """status: of the job as a whole. outputs: what the begin step told the system, where
    the system has a place for it. seen: the variables that the command was run with."""
    status: int
    log: str
    outputs: dict
    seen: dict


class System:
    def __init__(self, workspace, env):
        self.workspace, self.env = Path(workspace), env
        self.log, self.seen = [], {}

    def shell(self, words, env=None):
        done = subprocess.run([str(word) for word in words], cwd=self.workspace,
                              env=self.env | (env or {}), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=JOB_WITHIN, check=False)
        self.log.append(done.stdout)
        return done.returncode

    def script(self, text, env=None):
        """As a runner's shell step: bash, which ends at the first failure."""
        return self.shell(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
                          env)

    def command(self, text, env=None):
        """The job's own command; its environment is noted."""
        seen = self.workspace.parent / "environment"
        status = self.script(f'env -0 >"{seen}"\n{text}', env)
        self.seen = dict(line.split("=", 1) for line in
                         seen.read_text().split("\0") if "=" in line)
        return status

    def outcome(self, status, outputs=None):
        return Outcome(status, "".join(self.log), outputs or {}, self.seen)


# --- GitHub ------------------------------------------------------------------------------


class Expression:
    """`${{ ... }}`: names, 'text', ==, && and ||, with JavaScript's idea of what is true."""

    TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(==|&&|\|\|)|([\w.-]+))")

    def __init__(self, text, context):
        self.tokens = [match.groups() for match in self.TOKEN.finditer(text)]
        self.context = context

    def operator(self):
        return self.tokens[0][1] if self.tokens else None

    def atom(self):
        text, operator, name = self.tokens.pop(0)
        assert operator is None, operator
        if name is None:
            return text.replace("''", "'")
        value = self.context
        for part in name.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    def binary(self, operators, deeper):
        value = deeper()
        while (operator := self.operator()) in operators:
            self.tokens.pop(0)
            right = deeper()
            value = {"==": lambda a, b: a == b, "&&": lambda a, b: a and b,
                     "||": lambda a, b: a or b}[operator](value, right)
        return value

    def value(self):
        return self.binary(("||",), lambda: self.binary(
            ("&&",), lambda: self.binary(("==",), self.atom)))


def substitute(text, context):
    def value(match):
        found = Expression(match[1], context).value()
        return str(found).lower() if isinstance(found, bool) else str(found)
    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


class GitHub(System):
    """Composite actions: inputs are checked, each step is a shell of its own, and what it
    writes to GITHUB_OUTPUT becomes steps.<id>.outputs."""

    def action(self, name, given):
        where = CI / "github" / name
        action = yaml.safe_load((where / "action.yml").read_text())
        inputs = {}
        for key, about in action["inputs"].items():
            assert key in given or not about.get("required"), f"{name} wants {key}"
            inputs[key] = given.get(key, about.get("default", ""))
        assert set(given) <= set(action["inputs"]), (name, given)
        assert action["runs"]["using"] == "composite"
        context = {"inputs": inputs, "steps": {}}
        status = 0
        for number, step in enumerate(action["runs"]["steps"]):
            if status == 0:
                status = self.step(where, step, number, context)
        return status, {key: substitute(about["value"], context)
                        for key, about in action.get("outputs", {}).items()}

    def step(self, where, step, number, context):
        assert step["shell"] == "bash"
        output = self.workspace.parent / f"output-{number}"
        output.write_text("")
        env = {key: substitute(str(value), context)
               for key, value in step.get("env", {}).items()}
        env |= {"GITHUB_ACTION_PATH": str(where), "GITHUB_OUTPUT": str(output),
                "GITHUB_WORKSPACE": str(self.workspace)}
        status = self.script(substitute(step["run"], context), env)
        context["steps"][step.get("id", f"step-{number}")] = {
            "outputs": dict(line.split("=", 1) for line in output.read_text().splitlines())}
        return status

    def run(self, job, command, always=True):
        given = {"store": job.store, "path": job.path, "key": job.key}
        status, outputs = self.action("mount", given | {
            "fallback-keys": "\n".join(job.fallback_keys),
            "writable": "true" if job.writable else "false", "upper-dir": job.upper_dir})
        if status == 0:
            status = self.command(command)
        if status == 0 or always:
            failed, _ = self.action("commit", given | (
                {"job-status": "failure" if status else "success"} if always else {}))
            status = status or failed
        return self.outcome(status, outputs)


# --- GitLab ------------------------------------------------------------------------------


class GitLab(System):
    """before_script and script are one shell; after_script is another, begun in the same
    directory with the job's variables, whatever came of the first, and changes nothing in
    how the job ends. `stops_between`: as the docker executor has it, the container is
    stopped after the first and started again."""

    # What the runner makes of a job's lines.
    SHELL = "set -o pipefail; set -o errexit\nset +o noclobber\n: | eval {}\nexit 0\n"

    def __init__(self, workspace, env, stops_between=False):
        super().__init__(workspace, env)
        self.stops_between = stops_between

    def script(self, text, env=None):
        words = ["bash", "-c", self.SHELL.format(shlex.quote(text))]
        return self.shell(container(*words) if self.stops_between else words, env)

    def run(self, job, command):
        recipe = yaml.safe_load((CI / "gitlab" / "larder.yml").read_text())
        variables = recipe["variables"] | {
            "CI_PROJECT_DIR": str(self.workspace),
            "LARDER_CI": str(CI), "LARDER_STORE": job.store, "LARDER_JOB_PATH": job.path,
            "LARDER_JOB_KEY": job.key, "LARDER_JOB_FALLBACK": "\n".join(job.fallback_keys),
            "LARDER_JOB_WRITABLE": "1" if job.writable else "0",
            "LARDER_JOB_UPPER_DIR": job.upper_dir}
        template = recipe[".larder"]
        status = self.command("\n".join([*template["before_script"], command]), variables)
        self.script("\n".join(template["after_script"]),
                    variables | {"CI_JOB_STATUS": "failed" if status else "success"})
        return self.outcome(status)


# --- Buildkite ---------------------------------------------------------------------------


def variable(name):
    return re.sub(r"[-\s]", "_", name.upper())


class Buildkite(System):
    """The agent sources a plugin's hooks: what they export, or where they go, is the next
    one's. `names_itself`: newer agents tell the plugin its name."""

    def __init__(self, workspace, env, location="tools/ci/buildkite", names_itself=True):
        super().__init__(workspace, env)
        self.plugin = CI / "buildkite"
        self.name = variable(location.rpartition("/")[2].replace("-buildkite-plugin", ""))
        self.names_itself = names_itself

    def configuration(self, options):
        """The options as variables, after the plugin's own schema has let them through."""
        schema = yaml.safe_load((self.plugin / "plugin.yml").read_text())["configuration"]
        kinds = {"string": str, "boolean": bool, "array": list}
        assert set(schema["required"]) <= set(options) <= set(schema["properties"])
        env = {"BUILDKITE_PLUGIN_NAME": self.name} if self.names_itself else {}
        for key, value in options.items():
            allowed = schema["properties"][key]["type"]
            allowed = allowed if isinstance(allowed, list) else [allowed]
            assert any(isinstance(value, kinds[kind]) for kind in allowed), (key, value)
            name = f"BUILDKITE_PLUGIN_{self.name}_{variable(key)}"
            if isinstance(value, list):
                env |= {f"{name}_{i}": item for i, item in enumerate(value)}
            else:
                env[name] = str(value).lower() if isinstance(value, bool) else value
        return env

    def hook(self, name):
        """Sourced as the agent's wrapper does it; what it exports is kept."""
        exported = self.workspace.parent / "exported"
        hook = self.plugin / "hooks" / name
        assert os.access(hook, os.X_OK), hook
        status = self.shell(["bash", "-c", f'. "{hook}"; r=$?; env -0 >"{exported}"; exit $r'],
                            self.hooks_env)
        self.hooks_env |= dict(line.split("=", 1) for line in
                               exported.read_text().split("\0") if "=" in line)
        return status

    def run(self, job, command, **options):
        options = {"store": job.store, "path": job.path, "key": job.key,
                   "writable": job.writable} | options
        if job.fallback_keys:
            options["fallback-keys"] = job.fallback_keys
        if job.upper_dir:
            options["upper-dir"] = job.upper_dir
        self.hooks_env = self.configuration(options)
        self.hooks_env["BUILDKITE_BUILD_CHECKOUT_PATH"] = str(self.workspace)
        status = self.hook("pre-command")
        if status == 0:
            status = self.command(command, self.hooks_env)
            self.hooks_env["BUILDKITE_COMMAND_EXIT_STATUS"] = str(status)
            status = self.hook("post-command") or status
        return self.outcome(self.hook("pre-exit") or status)
