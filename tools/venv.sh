#!/usr/bin/env bash
# tools/venv.sh [dev]: .venv with what omnibot needs, and with `dev` what its tests need as well.
# Does nothing where pyproject.toml, constraints.txt, the Python and the folder are those of the last time.
. "$(dirname "$0")/common.sh"

extra=${1:-}

# A .venv that was moved or copied still names its old folder.
works() { runs .venv/bin/python -c "$fits" && grep -qsF "$PWD/.venv" .venv/bin/activate; }
wanted="$(cat pyproject.toml constraints.txt | cksum) $PWD"
for done in ".venv/.installed-${extra:-run}" .venv/.installed-dev; do
    if [[ -f $done && $(<"$done") == "$wanted" ]] && works; then exit 0; fi
done

need_space 600 "$PWD" "omnibot's .venv"
uv=$(find_uv)
if ! works || [[ -z $uv ]] && ! runs .venv/bin/python -m pip --version; then venv_make "$uv" .venv; fi
say "Installing omnibot${extra:+ and what its tests need} into .venv ..."
venv_install "$uv" .venv --constraint constraints.txt --editable ".${extra:+[$extra]}"
echo "$wanted" >".venv/.installed-${extra:-run}"
