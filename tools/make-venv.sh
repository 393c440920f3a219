#!/bin/sh
# A virtual environment with pip, also on a Debian or Ubuntu whose Python comes without one.
# Usage: make-venv.sh PYTHON FOLDER
set -eu
python=$1
folder=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Arke needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Try: make PYTHON=python3.12 ..." >&2
  exit 1
}

make_it() { "$python" -m venv --clear "$folder" >/dev/null 2>&1; }

make_it && exit 0
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"
echo "installing python$version-venv, which this system's Python lacks" >&2
if command -v apt-get >/dev/null && { $as_root apt-get update -q && $as_root apt-get install -qy "python$version-venv"; } >&2; then
  make_it && exit 0
fi
echo "cannot make a virtual environment: install python$version-venv (or python3-venv) and run make again" >&2
exit 1
