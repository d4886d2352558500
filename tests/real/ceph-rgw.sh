#!/bin/bash
# A real S3 server for the tests: Ceph RGW from Debian's packages (mon + osd in memory + radosgw), on 127.0.0.1 only.
#
#   ceph-rgw.sh start     ready when it returns; prints KEY=VALUE lines. Again while it runs: the same lines.
#   ceph-rgw.sh down      stops the gateway alone: connections are refused, the objects stay; `start` brings it back
#   ceph-rgw.sh stop      ends every process; the objects are gone
#   ceph-rgw.sh status    the lines and 0 while it answers, else 1
#
# Exit: 0; 1 it did not start (one line, and where the logs are); 2 usage; 3 not possible here (no root, not Debian).
# Environment; copies with other directories and ports do not meet:
#   RGW_DIR       state and logs (a directory in the temporary one, by port)
#   RGW_PORT      http (7480)        RGW_TLS_PORT  https as well, with a certificate of its own (0: none)
#   RGW_MON_PORT  monitor (13300)    RGW_MEM       bytes of objects (3 GiB)
#   RGW_ALSO      an address beside 127.0.0.1 where it answers by http
#   RGW_OWNER     a process id: when that process is gone, everything here ends by itself
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
port=${RGW_PORT:-7480} tls_port=${RGW_TLS_PORT:-0} mon_port=${RGW_MON_PORT:-13300} mem=${RGW_MEM:-3221225472}
dir=$(realpath -m "${RGW_DIR:-${TMPDIR:-/tmp}/jollyae-rgw-$port}")
conf=$dir/ceph.conf
export CEPH_CONF=$conf CEPH_ARGS=
access_key=testaccesskey0000000 secret_key=testsecretkey00000000000000000000000000
access_key2=otheraccesskey000000 secret_key2=othersecretkey0000000000000000000000000

die() { echo "ceph-rgw.sh: $*" >&2; exit 1; }

# A process is ours only if its command line names our configuration: a pid file may be older than the pid.
pid_of() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && grep -qszxF "$conf" "/proc/$pid/cmdline" && echo "$pid"
}

launch() {  # launch NAME COMMAND…
    # In the directory: the words of "rgw frontends" hold no space, so the certificate needs a short name.
    (cd "$dir" && exec setsid nohup "${@:2}") </dev/null >>"$dir/$1.out" 2>&1 &
    echo $! >"$dir/$1.pid"
    disown
}

end() {  # end NAME: at once, there is nothing to save
    local pid
    if pid=$(pid_of "$1") && [ "$pid" != $$ ]; then
        kill -KILL "$pid" 2>/dev/null || true
        until ! pid_of "$1" >/dev/null; do sleep 0.02; done
    fi
    rm -f "$dir/$1.pid"
}

stop() { for name in rgw osd mon keeper; do end $name; done; }

wait_for() {  # wait_for WHAT COMMAND…: up to 60 s
    local deadline=$((SECONDS + 60))
    until "${@:2}" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || die "$1 did not come up in 60 s"
        sleep 0.1
    done
}

answers() { pid_of rgw >/dev/null && curl -sf -o /dev/null -m 5 "http://127.0.0.1:$port"; }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

info() {
    echo "ENDPOINT=http://127.0.0.1:$port"
    [ "$tls_port" = 0 ] || printf '%s\n' "ENDPOINT_TLS=https://127.0.0.1:$tls_port" "AWS_CA_BUNDLE=$dir/tls.crt"
    printf '%s\n' "AWS_ACCESS_KEY_ID=$access_key" "AWS_SECRET_ACCESS_KEY=$secret_key" AWS_REGION=us-east-1 \
        "SECOND_ACCESS_KEY_ID=$access_key2" "SECOND_SECRET_ACCESS_KEY=$secret_key2"
}

configure() {
    local frontend="beast endpoint=127.0.0.1:$port"
    [ -z "${RGW_ALSO:-}" ] || frontend+=" endpoint=$RGW_ALSO:$port"
    if [ "$tls_port" != 0 ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
            -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
        frontend+=" ssl_endpoint=127.0.0.1:$tls_port ssl_certificate=tls.crt ssl_private_key=tls.key"
    fi
    # No admin sockets: a path over 107 bytes would not start.
    # One osd without copies: size 1, and chooseleaf 0 lets it stand alone in its host.
    # kms: "testing" is a key of our own, so that --sse aws:kms can be tried without TLS or a vault.
    # watch timeout: after `down` and `start` the first new bucket waits for the dead gateway's watch (26 s with 30 s).
    # gc: what tests delete is given back to the memory after a minute, not after two hours.
    cat >"$conf" <<-CONF
	[global]
	fsid = $fsid
	run dir = $dir
	admin socket =
	log file = $dir/\$name.log
	mon cluster log file = $dir/cluster.log
	crash dir = $dir
	mon host = [v2:127.0.0.1:$mon_port]
	public network = 127.0.0.0/8
	cluster network = 127.0.0.0/8
	ms bind ipv6 = false
	ms bind msgr1 = false
	keyring = $dir/keyring
	auth allow insecure global id reclaim = false
	osd pool default size = 1
	osd pool default min size = 1
	osd pool default pg num = 8
	osd pool default pgp num = 8
	osd pool default pg autoscale mode = off
	osd crush chooseleaf type = 0
	mon allow pool size one = true
	mon max pg per osd = 2000
	mon data avail warn = 1
	mon data avail crit = 0
	[mon.a]
	mon data = $dir/mon
	[osd.0]
	osd data = $dir/osd
	osd objectstore = memstore
	memstore device bytes = $mem
	osd client watch timeout = 5
	osd class dir = $(ls -d /usr/lib/*/rados-classes /usr/lib/rados-classes 2>/dev/null | head -n 1)
	osd class default list = *
	osd class load list = *
	[client.rgw]
	rgw frontends = $frontend
	rgw thread pool size = 128
	rgw enable usage log = false
	rgw enable ops log = false
	rgw crypt require ssl = false
	rgw crypt s3 kms backend = testing
	rgw crypt s3 kms encryption keys = testkey-1=$(head -c 32 /dev/zero | base64)
	rgw gc obj min wait = 60
	rgw gc processor period = 60
	CONF
}

admin() { radosgw-admin -n client.rgw "$@" >>"$dir/admin.out" 2>&1; }

new_cluster() {  # memory: it is always a new one
    local fsid
    fsid=$(uuidgen)
    rm -rf "$dir/mon" "$dir/osd"
    mkdir -p "$dir/mon" "$dir/osd"
    configure
    local name
    install -m 600 /dev/null "$dir/keyring"
    for name in mon. client.admin client.rgw osd.0; do
        ceph-authtool "$dir/keyring" --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *'
    done
    monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port]" "$dir/monmap"
    ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    launch mon ceph-mon -c "$conf" -i a -f
    wait_for "the monitor" ceph --connect-timeout 5 mon stat
    local osd
    osd=$(uuidgen)
    ceph osd new "$osd"
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
    launch osd ceph-osd -c "$conf" -i 0 -f
    wait_for "the osd" bash -c 'ceph osd stat | grep -q "1 up"'
    admin user create --uid=test --display-name=test --access-key="$access_key" --secret-key="$secret_key"
    admin user create --uid=other --display-name=other --access-key="$access_key2" --secret-key="$secret_key2"
    # One more storage class, on the same pool, for --storage-class.
    admin zonegroup placement add --rgw-zonegroup=default --placement-id=default-placement --storage-class=STANDARD_IA
    admin zone placement add --rgw-zone=default --placement-id=default-placement --storage-class=STANDARD_IA \
        --data-pool=default.rgw.buckets.data
}

start() {
    if answers; then info; return; fi
    local rc=0 one
    "$here/../../tools/apt-install.sh" ceph-common ceph-mon ceph-osd radosgw curl openssl uuid-runtime procps || exit 3
    end rgw
    pid_of osd >/dev/null && pid_of mon >/dev/null || stop
    for one in "$port" ${tls_port#0}; do ! listening "$one" || die "port $one is taken: set RGW_PORT, RGW_TLS_PORT"; done
    mkdir -p "$dir"
    trap 'rc=$?; [ $rc = 0 ] || { stop; echo "ceph-rgw.sh: start failed; the logs are in $dir" >&2; }' EXIT
    if [ -n "${RGW_OWNER:-}" ] && ! pid_of keeper >/dev/null; then
        launch keeper bash "$here/ceph-rgw.sh" keep "$conf"
    fi
    if ! pid_of osd >/dev/null; then
        ! listening "$mon_port" || die "port $mon_port is taken: set RGW_MON_PORT"
        new_cluster >>"$dir/start.out" 2>&1
    fi
    launch rgw radosgw -c "$conf" -n client.rgw -f
    wait_for "the gateway" answers
    info
}

case ${1:-} in
    start) start ;;
    down) end rgw ;;
    stop) stop ;;
    status) answers || die "down"; info ;;
    keep)  # the keeper: a process of start's own
        while kill -0 "$RGW_OWNER" 2>/dev/null; do sleep 0.5; done
        stop
        ;;
    *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
