/**
 * nftables text, each a whole transaction. Names that come in are interface
 * names and prefixes this room has made or checked.
 */
import { PUBLIC, ROUTER } from './names.ts';

/** Protocol numbers: names would need /etc/protocols, which a small system does not have. */
const ICMP = 1;
const ICMPV6 = 58;

/** Table in the node's own network namespace; no other table there is touched. */
const HOST_TABLE = 'gridnode';
/** Where every tap that may send has an element, as `nft list set` takes it. */
export const GUARD_SET = ['bridge', HOST_TABLE, 'macs'] as const;

/** Prefix between host and router namespace; the host's end is .1, the router's .2. */
export const HOST_LINK = { prefix: '169.254.127.0/30', host: '169.254.127.1/30', router: '169.254.127.2/30' } as const;

const ESTABLISHED = 'ct state established,related accept';
const INVALID = 'ct state invalid drop';

/**
 * Inside a network's namespace: NAT to the uplink, nothing new from the
 * uplink, no mail sent, segments that fit the tunnel.
 */
export function networkRules(wireguard: string): string {
  const clamp = 'tcp flags syn / syn,rst tcp option maxseg size set rt mtu';
  return `flush ruleset
table inet nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${PUBLIC}" masquerade fully-random
  }
}
table inet filter {
  chain input {
    type filter hook input priority filter; policy accept;
    ${ESTABLISHED}
    ${INVALID}
    iifname "${PUBLIC}" meta l4proto ${ICMPV6} accept
    iifname "${PUBLIC}" counter drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname "${PUBLIC}" tcp dport 25 counter reject with icmpx admin-prohibited
    oifname "${wireguard}" ${clamp}
    iifname "${wireguard}" ${clamp}
    ${ESTABLISHED}
    ${INVALID}
    iifname "${PUBLIC}" counter drop
  }
}
`;
}

/** Inside the router namespace: networks go out, never to each other, never to link-local services of the host. */
export function routerRules(): string {
  return `flush ruleset
table inet nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${ROUTER.outer}" masquerade fully-random
  }
}
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ${ESTABLISHED}
    ${INVALID}
    meta l4proto { ${ICMP}, ${ICMPV6} } accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ${ESTABLISHED}
    ${INVALID}
    ip daddr 169.254.0.0/16 counter drop
    iifname "${ROUTER.inner}" oifname "${ROUTER.outer}" accept
  }
}
`;
}

/**
 * In the node's own namespace. `sealUplink`: forwarding on the uplink is on
 * only because of us, so nothing else may be forwarded through it.
 */
export function hostRules(uplink: { readonly device: string; readonly seal: boolean } | undefined): string {
  const outwards =
    uplink === undefined
      ? `iifname "${ROUTER.outerPort}" drop`
      : `iifname "${ROUTER.outerPort}" oifname != "${uplink.device}" counter drop
    oifname "${ROUTER.outerPort}" ${ESTABLISHED}
    oifname "${ROUTER.outerPort}" counter drop${
      uplink.seal ? `\n    iifname "${uplink.device}" oifname != "${ROUTER.outerPort}" counter drop` : ''
    }`;
  const nat =
    uplink === undefined
      ? ''
      : `  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${HOST_LINK.prefix} oifname "${uplink.device}" masquerade fully-random
  }
`;
  return `table inet ${HOST_TABLE}
delete table inet ${HOST_TABLE}
table inet ${HOST_TABLE} {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname { "b-*", "${ROUTER.bridge}" } counter drop
    iifname "${ROUTER.outerPort}" ${ESTABLISHED}
    iifname "${ROUTER.outerPort}" icmp type echo-request accept
    iifname "${ROUTER.outerPort}" counter drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ${outwards}
  }
${nat}}
`;
}

/** What a machine on a private tap may send as: its hardware address, and addresses of its network but the gateway's. */
export interface TapGuard {
  readonly tap: string;
  readonly mac: string;
  /** IPv4 range or address, IPv6 prefix. */
  readonly sources: readonly [string, string];
}

/** The guard of all private taps, built anew. A tap that is not listed may send nothing. */
export function guardRules(guards: readonly TapGuard[]): string {
  const elements = guards.flatMap((guard) => [guardElements(guard)]).join('');
  return `table bridge ${HOST_TABLE}
delete table bridge ${HOST_TABLE}
table bridge ${HOST_TABLE} {
  set macs {
    type ifname . ether_addr
  }
  set sources4 {
    type ifname . ipv4_addr
    flags interval
  }
  set sources6 {
    type ifname . ipv6_addr
    flags interval
  }
  chain prerouting {
    type filter hook prerouting priority -300; policy accept;
    iifname "t-*" goto tap
  }
  chain tap {
    iifname . ether saddr != @macs counter drop
    ether type arp arp saddr ip 0.0.0.0 accept
    ether type arp iifname . arp saddr ip @sources4 accept
    ether type ip iifname . ip saddr @sources4 accept
    ether type ip6 ip6 saddr :: accept
    ether type ip6 ip6 saddr fe80::1 counter drop
    ether type ip6 ip6 saddr fe80::/10 accept
    ether type ip6 iifname . ip6 saddr @sources6 accept
    counter drop
  }
}
${elements}`;
}

function guardElements(guard: TapGuard): string {
  return `add element bridge ${HOST_TABLE} macs { "${guard.tap}" . ${guard.mac} }
add element bridge ${HOST_TABLE} sources4 { "${guard.tap}" . ${guard.sources[0]} }
add element bridge ${HOST_TABLE} sources6 { "${guard.tap}" . ${guard.sources[1]} }
`;
}

/** Lets one more tap send. */
export function admitTap(guard: TapGuard): string {
  return guardElements(guard);
}

/** Takes a tap's rights away again; fails where it had none. */
export function dismissTap(guard: TapGuard): string {
  return guardElements(guard).replaceAll('add element', 'delete element');
}

/** Removes both tables of the node's own namespace; fails on neither being there. */
export function noHostRules(): string {
  return ['inet', 'bridge']
    .map((family) => `table ${family} ${HOST_TABLE}\ndelete table ${family} ${HOST_TABLE}\n`)
    .join('');
}
