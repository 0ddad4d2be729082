"""Write what the documentation takes from the code: `make docs`, or `python docs/draw.py`.

    docs/workflows.md          every state machine as a diagram, every state of a case as a table
    README.md                  the diagram of request.asl.json, between two marks
    docs/operating.md          the table of parameters of template.yaml, between two marks
    docs/datamap.schema.json   what `dsr map schema` prints

tests/unit/test_docs.py fails when one of them is not what this writes.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from dsr.case import ENDED, MOVES, STEPS, State
from dsr_cli.main import main

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- written by `make docs` -->"
END = "<!-- end of what `make docs` writes -->"

# Where more arrows than this lead back to the first state, a mark stands for each: it stays readable.
_MOST_ARROWS_BACK = 3
_BACK = "↺"

_LEGEND = (
    f"{_BACK} stands for an arrow back to the machine's first state. A dashed arrow is taken on the error "
    "that it names. The second line of a box is the folder in `functions/` that does the work."
)
_STATES_LEGEND = (
    "`MOVES` and `STEPS` of `dsr.case`: what the workflow does for a case in each state, and where the "
    "case may go from there. No other move is possible: each is a write on the condition of the state before."
)

Machine = dict[str, Any]


def written() -> dict[Path, str]:
    """Every file that is written, with its content."""
    return {
        ROOT / "docs/workflows.md": workflows(),
        ROOT / "docs/datamap.schema.json": json_schema(),
        ROOT / "README.md": _between("README.md", diagram(machine("request.asl.json"))),
        ROOT / "docs/operating.md": _between("docs/operating.md", parameters()),
    }


def json_schema() -> str:
    """The JSON Schema of data maps."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        main(["map", "schema"])
    return said.getvalue()


def _between(name: str, content: str) -> str:
    """The text of a file with `content` between its two marks."""
    text = (ROOT / name).read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{content}{END}{after}"


def parameters() -> str:
    """The parameters of template.yaml as a table, in the order in which they are asked for."""
    template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    lines = ["| parameter | default | what it is |", "| --- | --- | --- |"]
    for group in groups:
        lines.append(f"| **{group['Label']['default']}** | | |")
        for name in group["Parameters"]:
            said = template["Parameters"][name]
            default = f"`{said['Default']}`" if said["Default"] != "" else ""
            lines.append(f"| `{name}` | {default} | {said['Description']} |")
    return "\n".join(lines) + "\n"


def workflows() -> str:
    """The whole of docs/workflows.md."""
    parts = [
        "# Workflows",
        "Drawn by `make docs` from `workflows/*.asl.json` and `functions/dsr/case.py`: do not edit.",
        _LEGEND,
    ]
    for file in sorted((ROOT / "workflows").glob("*.asl.json")):
        parts += [f"## {file.name}", machine(file.name)["Comment"], diagram(machine(file.name)).rstrip()]
    parts += [
        "## The states of a case",
        _STATES_LEGEND,
        "\n".join(_states()),
    ]
    return "\n\n".join(parts) + "\n"


def machine(name: str) -> Machine:
    """A definition as it stands in workflows/."""
    definition: Machine = json.loads((ROOT / "workflows" / name).read_text(encoding="utf-8"))
    return definition


def diagram(definition: Machine) -> str:
    """A state machine as a Mermaid flowchart in its code fence."""
    lines = ["```mermaid", "flowchart TD", *_scope(definition, "    "), "```"]
    return "\n".join(lines) + "\n"


def _scope(scope: Machine, indent: str) -> Iterator[str]:
    start = scope["StartAt"]
    back = [name for name, state in scope["States"].items() for _, to, _ in _ways(state) if to == start]
    folded = start if len(back) > _MOST_ARROWS_BACK else ""
    for name, state in scope["States"].items():
        if state["Type"] == "Map":
            yield f'{indent}subgraph {name}["{name}: for each of {_items(state)}"]'
            yield from _scope(state["ItemProcessor"], indent + "    ")
            yield f"{indent}end"
        else:
            yield indent + _box(name, state, folded)
    for name, state in scope["States"].items():
        for word, to, arrow in _ways(state):
            if to != folded:
                label = f'|"{word}"|' if word else ""
                yield f"{indent}{name} {arrow}{label} {to}"


def _ways(state: Machine) -> Iterator[tuple[str, str, str]]:
    """Where a state can lead: the word on the arrow, the target, the arrow."""
    for choice in state.get("Choices", ()):
        yield _condition(choice["Condition"]), choice["Next"], "-->"
    if "Default" in state:
        yield "else", state["Default"], "-->"
    if "Next" in state:
        yield "", state["Next"], "-->"
    for catch in state.get("Catch", ()):
        names = ", ".join(error.rpartition(".")[2] for error in catch["ErrorEquals"])
        yield names.replace("ALL", "any error"), catch["Next"], "-.->"


def _condition(text: str) -> str:
    inner = text.removeprefix("{%").removesuffix("%}").strip()
    words = re.fullmatch(r"\$[\w.]+ (?:=|in) \[?('[^\]]*')\]?", inner)
    return words[1].replace("'", "") if words else inner.rpartition(".")[2]


def _items(state: Machine) -> str:
    return _condition(state["Items"])


def _box(name: str, state: Machine, folded: str) -> str:
    ways = [word for word, to, arrow in _ways(state) if to == folded and arrow == "-->"]
    mark = f" {_BACK}" if "" in ways else f" else {_BACK}" if "else" in ways else ""
    done = _done(state)
    label = f"{name}{mark}" + (f"<br/>{done}" if done else "")
    shapes = {"Choice": f'{{"{label}"}}', "Succeed": f'(["{label}"])', "Fail": f'(["{label}"])'}
    return name + shapes.get(state["Type"], f'["{label}"]')


def _done(state: Machine) -> str:
    """What a task does, in a few words."""
    resource = state.get("Resource", "")
    if resource.endswith("lambda:invoke"):
        return _folder(state["Arguments"]["FunctionName"])
    if "startExecution" in resource:
        return f"runs {_folder(state['Arguments']['StateMachineArn']).removesuffix('_workflow')}.asl.json"
    if "waitForTaskToken" in resource:
        return "stores its token on the case and waits"
    return "notes it in the table of cases" if "dynamodb" in resource else ""


def _folder(name: str) -> str:
    """The folder that `${SendNotice}` stands for; of the workers, whose kind is data, the pattern."""
    named = re.fullmatch(r"\$\{(\w+)\}", name)
    if named is None:
        return "store_‹kind›"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", named[1]).lower()


def _states() -> Iterator[str]:
    yield "| state | step of the workflow | may go to |"
    yield "| --- | --- | --- |"
    for state in State:
        step = STEPS.get(state, "" if state in ENDED else "rests until a person or a date moves it")
        ways = ", ".join(sorted(MOVES[state])) or "nowhere: it has ended"
        yield f"| {state} | {step} | {ways} |"


if __name__ == "__main__":
    for path, content in written().items():
        path.write_text(content, encoding="utf-8")
