"""What `cargo xtask` asks of Helm.

helm.py lint CHART
helm.py render CHART NAME NAMESPACE
helm.py install CHART NAME NAMESPACE VALUES KUBECONFIG
helm.py upgrade CHART NAME NAMESPACE VALUES KUBECONFIG
helm.py uninstall NAME NAMESPACE KUBECONFIG

VALUES is JSON. What fails is one line on standard error, and exit code 1.
"""

import json
import sys

from helm_python import HelmError
from helm_python.chart import Chart, lint
from helm_python.config import Config

INFO = 1
TIMEOUT = 180


def main(verb, *arguments):
    match verb, arguments:
        case "lint", (chart,):
            report = lint(chart, strict=True)
            wrong = [m["error"] for m in report["messages"] if m["severity"] > INFO]
            if wrong or report["errors"]:
                raise SystemExit("\n".join(wrong + report["errors"]))
        case "render", (chart, name, namespace):
            with Chart.load(chart) as loaded:
                rendered = loaded.render(name=name, namespace=namespace, is_install=True)
            documents = [text.strip() for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
            print("\n---\n".join(text for text in documents if text))
        case ("install" | "upgrade"), (chart, name, namespace, values, kubeconfig):
            with Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
                act = config.install if verb == "install" else config.upgrade
                act(chart, name, json.loads(values), namespace=namespace, timeout=TIMEOUT)
        case "uninstall", (name, namespace, kubeconfig):
            with Config(kubeconfig_path=kubeconfig, namespace=namespace) as config:
                config.uninstall(name, timeout=TIMEOUT, wait="watcher")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:] or [""])
    except HelmError as error:
        raise SystemExit(str(error)) from error
