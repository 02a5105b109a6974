#!/bin/bash
# Molecule's scenarios one after the other on their one shared lab, each with its time; all of them even if one fails.
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT" || exit

usage() {
    cat <<'END'
Usage: tools/molecule.sh [--engine ENGINE] [--fresh] [--destroy] [-v] [SCENARIO...]

  --engine     podman (default) or docker: a lab of its own, in molecule/base-docker/
  --fresh      take a lab that is left down before
  --destroy    the same, and take the lab down at the end
  -v           show what Molecule prints; otherwise only of scenarios that fail
END
}

engine=podman fresh='' destroy='' verbose='' scenarios=()
while [ $# -gt 0 ]; do
    case $1 in
        --engine)
            case ${2:-} in podman | docker) engine=$2 ;; *) usage >&2; exit 2 ;; esac
            shift
            ;;
        --fresh) fresh=1 ;;
        --destroy) fresh=1 destroy=1 ;;
        -v) verbose=1 ;;
        --help | -h) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) scenarios+=("$1") ;;
    esac
    shift
done
if [ ${#scenarios[@]} = 0 ]; then
    for file in molecule/*/molecule.yml; do scenarios+=("$(basename "$(dirname "$file")")"); done
fi

PATH=$ROOT/.venv/bin:$PATH:/usr/sbin:/sbin
work=${SCS_DEPLOY_STATE_DIR:-$ROOT/.state}/molecule
logs=$work/logs
mkdir -p "$logs"
export PATH ANSIBLE_HOME=${ANSIBLE_HOME:-$work/ansible} MOLECULE_COMMAND_BORDERS=false MOLECULE_REPORT=false

region=base
if [ "$engine" != podman ]; then
    region=base-$engine
    mkdir -p "molecule/$region"
    sed -e "s/^engine: .*/engine: $engine/" -e "s/^name: .*/&-$engine/" molecule/base/region.yml >"molecule/$region/region.yml"
fi
export SCS_MOLECULE_REGION=$region SCS_DEPLOY_REGION=$ROOT/molecule/$region SCS_DEPLOY_VAULT_PASSWORD=molecule

lab_down() { scs-deploy lab down -r "molecule/$region"; }
[ -z "$fresh" ] || lab_down || exit
if [ -n "$destroy" ]; then
    trap lab_down EXIT
    trap 'exit 130' INT TERM
fi

log=$logs/deploy.log began=$SECONDS
if ! { scs-deploy image build && scs-deploy lab up && scs-deploy apply --yes; } >"$log" 2>&1; then
    cat "$log"
    echo "the lab of all scenarios could not be deployed"
    exit 1
fi
printf '%-16s %4d s\n' deployment $((SECONDS - began))
# Without what each scenario's destroy and create would do and look for again.
export SCS_MOLECULE_SEQUENCE='[side_effect, converge, idempotence, verify]'

passed=0 failed=0
for scenario in "${scenarios[@]}"; do
    log=$logs/$scenario.log began=$SECONDS result=ok
    if [ -n "$verbose" ]; then
        molecule test --scenario-name "$scenario" 2>&1 | tee "$log"
    else
        molecule test --scenario-name "$scenario" >"$log" 2>&1
    fi || result=FAILED
    if [ $result = ok ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        [ -n "$verbose" ] || cat "$log"
    fi
    printf '%-16s %4d s  %s\n' "$scenario" $((SECONDS - began)) $result
done
echo "$passed passed, $failed failed"
exit $((failed > 0))
