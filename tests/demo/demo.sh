#!/usr/bin/env bash
# Shows the operator at work on a real control plane with fake nodes: each step is a command and its real output.
# With REAL=1 on a real node, with a database to write to, which takes root. `demo.sh down` ends what `demo.sh` left
# running. With DEMO_EXIT=1 nothing is left running.
set -euo pipefail
cd "$(dirname "$0")/../.."

state=${DEMO_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/multigres-demo}
target=${CARGO_TARGET_DIR:-target}
operator=$target/debug/multigres-operator
testbed=$target/debug/testbed
samples=tests/samples

say() { printf '\n\033[1m── %s\033[0m\n' "$*"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }
# A command that is to be refused.
refused() {
    printf '\n$ %s\n' "$*"
    if "$@"; then
        echo "this was to be refused" >&2
        exit 1
    fi
}

down() {
    local pid
    pid=$(cat "$state/operator.pid" 2>/dev/null || true)
    # Only if the number still belongs to the operator that was started here.
    if [[ -n $pid ]] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$state/operator.kubeconfig"; then
        kill "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    fi
    if [[ -x $testbed && -d $state ]]; then "$testbed" down --dir "$state"; fi
    rm -rf "$state"
}

build() {
    say "Building the operator, and the programs of a control plane where they are missing (ten minutes the first time)"
    cargo build --package multigres-operator --package testbed
    "$testbed" build ${REAL:+--real}
}

free_port() {
    local port
    while port=$((RANDOM % 10000 + 20000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

start_control_plane() {
    say "A real kube-apiserver, etcd, scheduler and controller manager, and three fake nodes"
    eval "$("$testbed" up --dir "$state" --fake-nodes 3)"
    PATH=$(dirname "$("$testbed" path kubectl)"):$PATH
}

install() {
    say "Installing the CRDs, the operator's identity and rights, and the webhook configurations"
    webhooks=$(free_port)
    show kubectl apply -f charts/multigres-operator/crds
    printf '\n$ %s manifests --webhook-url https://127.0.0.1:%s | kubectl apply -f -\n' "$operator" "$webhooks"
    "$operator" manifests --webhook-url "https://127.0.0.1:$webhooks" | kubectl apply -f -
    # The operator connects as its own service account, never as the admin.
    cp "$KUBECONFIG" "$state/operator.kubeconfig"
    local context
    context=$(kubectl config current-context)
    kubectl config --kubeconfig "$state/operator.kubeconfig" set-credentials operator \
        --token "$(kubectl -n multigres-system create token multigres-operator --duration 24h)" >/dev/null
    kubectl config --kubeconfig "$state/operator.kubeconfig" set-context "$context" --user operator >/dev/null
}

# Whether the operator says that it is ready, asked without any tool that a fresh machine may not have.
is_ready() {
    local status
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
    read -r _ status _ <&3
    exec 3>&-
    [[ $status == 200 ]]
}

start_operator() {
    say "Running the operator"
    local ops
    ops=$(free_port)
    printf '\n$ %s run --webhook-address 127.0.0.1:%s …\n' "$operator" "$webhooks"
    setsid "$operator" run --kubeconfig "$state/operator.kubeconfig" --webhook-name 127.0.0.1 --topology absent --drain 0s \
        --webhook-address "127.0.0.1:$webhooks" --ops-address "127.0.0.1:$ops" \
        >"$state/operator.log" 2>&1 </dev/null &
    echo $! >"$state/operator.pid"
    for _ in $(seq 300); do
        if is_ready "$ops"; then return; fi
        sleep 0.1
    done
    cat "$state/operator.log" >&2
    exit 1
}

proposal() {
    say "The proposal's first sample, verbatim"
    kubectl create namespace multigres >/dev/null
    show kubectl apply -f $samples/proposal-cluster.yaml
    show kubectl -n multigres wait --for=condition=Progressing=False mgc/example-multigres-cluster --timeout=60s
    say "The proposal's table groups, merged into a cluster of their own"
    show kubectl apply -f $samples/tablegroups-cluster.yaml
    show kubectl -n multigres wait --for=condition=Progressing=False mgc/example-sharded-cluster --timeout=60s
    say "What was made of them (no node runs anything here: whether writes are served is not known, and never guessed)"
    show kubectl -n multigres get multigres
    show kubectl -n multigres get deployment,statefulset,service,configmap,pdb,pvc,secret \
        -l multigres.com/cluster=example-multigres-cluster \
        -o custom-columns='OWNER KIND:.metadata.ownerReferences[0].kind,OWNER:.metadata.ownerReferences[0].name,KIND:.kind,NAME:.metadata.name'
}

mistakes() {
    say "A manifest with three mistakes: all of them at once"
    sed -e 's/name: example-sharded-cluster/name: mistaken/' -e 's#/multigres-sharded/#/mistaken/#' -e '0,/type: "replica"/s//type: "primary"/' \
        -e '0,/cell: "us-west-2"/s//cell: "us-wst-2"/' -e '0,/name: "orders_tg"/s//name: "default"/' \
        $samples/tablegroups-cluster.yaml >"$state/mistaken.yaml"
    refused kubectl apply -f "$state/mistaken.yaml"
}

protection() {
    say "A child is the cluster's: it says where to edit instead"
    refused kubectl -n multigres patch multicell example-multigres-cluster-us-east-1 --type merge \
        -p '{"spec":{"multiGateway":{"replicas":5}}}'
    say "A workload that drifts is put back"
    local deployment=deployment/example-multigres-cluster-multigateway-us-east-1
    show kubectl -n multigres scale "$deployment" --replicas 5
    show kubectl -n multigres wait --for=jsonpath='{.spec.replicas}'=2 "$deployment" --timeout=10s
    show kubectl -n multigres get events.events.k8s.io --field-selector reason=DriftReverted \
        -o custom-columns=REASON:.reason,NOTE:.note
}

again() {
    say "Applying again changes nothing"
    show kubectl apply -f $samples/proposal-cluster.yaml
    show kubectl apply -f $samples/tablegroups-cluster.yaml
}

start_node() {
    say "A real node: kube-apiserver and its like, containerd, kubelet, and the images of Multigres"
    eval "$("$testbed" up --dir "$state" --real --operator "$operator")"
    PATH=$(dirname "$("$testbed" path kubectl)"):$PATH
}

install_on_node() {
    say "Installing the CRDs and the operator"
    show kubectl apply -f charts/multigres-operator/crds
    printf '\n$ %s manifests --image localhost/multigres/multigres-operator:dev | kubectl apply -f -\n' "$operator"
    "$operator" manifests --image localhost/multigres/multigres-operator:dev | kubectl apply -f -
    show kubectl -n multigres-system rollout status deployment/multigres-operator --timeout 3m
}

databases() {
    say "One manifest, and nothing else"
    kubectl create namespace multigres >/dev/null
    show kubectl apply -f $samples/two-cells.yaml
    show kubectl -n multigres wait --for=condition=Ready mgc/two-cells --timeout 5m
    show kubectl -n multigres get multigres
    say "SQL through the gateway"
    connection=$(kubectl -n multigres get secret -l multigres.com/database=users_db -o name | grep connection)
    sql "create table users (id int primary key, name text); insert into users values (1, 'Ada')"
    sql 'select * from users'
}

# psql is in the gateway's image; how to connect is in the Secret that the operator made.
uri='{{.data.uri | base64decode}}'
psql=(kubectl -n multigres exec -i deploy/two-cells-multigateway-us-east-1 -- psql)
sql() {
    printf '\n$ psql "$uri" -c "%s"\n' "$1"
    "${psql[@]}" "$(kubectl -n multigres get "$connection" -o go-template="$uri")" -c "$1"
}

failover() {
    say "The primary's pod is deleted: another leads, and what was written is there"
    local primary
    primary=$(kubectl -n multigres get multishard -o jsonpath='{.items[0].status.primary}')
    show kubectl -n multigres delete pod "$primary" --wait=false
    until sql "insert into users values (2, 'Grace')" 2>/dev/null; do sleep 0.2; done
    show kubectl -n multigres wait --for=condition=Ready mgc/two-cells --timeout 5m
    show kubectl -n multigres get multishard -o custom-columns='SHARD:.metadata.name,PRIMARY:.status.primary'
    sql 'select * from users'
}

on_control_plane() {
    start_control_plane
    install
    start_operator
    proposal
    mistakes
    protection
    again
}

on_node() {
    start_node
    install_on_node
    databases
    failover
}

if [[ ${1:-} == down ]]; then
    down
    exit
fi
if [[ -n ${REAL:-} && $(id -u) != 0 ]]; then
    echo "a real node takes root" >&2
    exit 1
fi
build
down
mkdir -p "$state"
trap 'down' ERR INT TERM
if [[ -n ${REAL:-} ]]; then on_node; else on_control_plane; fi
trap - ERR INT TERM
if [[ ${DEMO_EXIT:-} == 1 ]]; then
    down
    say "Done; everything was ended"
    exit
fi
say "It goes on: play with it, and end it with \`make demo-down\`"
printf '\nexport KUBECONFIG=%s PATH=%s:$PATH\n' "$KUBECONFIG" "$(dirname "$("$testbed" path kubectl)")"
if [[ -n ${REAL:-} ]]; then
    command=${psql[*]}
    printf '%s "$(kubectl -n multigres get %s -o go-template='"'%s'"')"\n' "${command/ -i / -it }" "$connection" "$uri"
fi
