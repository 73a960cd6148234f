#!/bin/sh
# A network namespace `updates` that reaches the internet through this host: the workload of workloads.yaml.
# As root: `namespace.sh up RESOLVER` makes it, `namespace.sh down` takes it away (IPv4 forwarding stays on).
set -eu

up() {
  ip netns add updates
  ip link add veth-updates type veth peer name eth0 netns updates
  ip address add 10.99.0.1/30 dev veth-updates
  ip link set veth-updates up
  ip -n updates link set lo up
  ip -n updates address add 10.99.0.2/30 dev eth0
  ip -n updates link set eth0 up
  ip -n updates route add default via 10.99.0.1
  echo 1 > /proc/sys/net/ipv4/ip_forward
  nft -f - <<-END
	table ip egret-example {
	  chain out { type nat hook postrouting priority srcnat; ip saddr 10.99.0.2 oifname != "veth-updates" masquerade; }
	}
	END
  # `ip netns exec` shows this file as /etc/resolv.conf, and the agent reads from it whom the workload trusts.
  install -d -m 755 /etc/netns /etc/netns/updates
  echo "nameserver $1" > /etc/netns/updates/resolv.conf
}

down() {
  rm -rf /etc/netns/updates
  nft delete table ip egret-example
  ip netns delete updates
}

case "${1:-}" in
  up) up "${2:?the address of a DNS resolver is missing, as in: namespace.sh up 9.9.9.9}" ;;
  down) down ;;
  *) echo "namespace.sh up RESOLVER | namespace.sh down" >&2; exit 2 ;;
esac
