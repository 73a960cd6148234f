//! Entries of `allow`, `deny` and `ceiling`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an application may do.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
pub struct AllowRule {
    /// Where to: any of these.
    #[schemars(length(min = 1, max = 64))]
    pub to: Vec<Destination>,
    /// What every rule has.
    #[serde(flatten)]
    pub rule: RuleFields,
}

/// What an application may not do, whatever is allowed elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
pub struct DenyRule {
    /// Where to: any of these, no names.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(destination, !has(destination.fqdn))").message(
            "deny takes no `fqdn`: a name that is not looked up cannot be denied by address; deny its addresses with \
             `cidr`, or leave the name out of `allow`"
        ),
    )]
    pub to: Vec<Destination>,
    /// What every rule has.
    #[serde(flatten)]
    pub rule: RuleFields,
}

/// What every rule has.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
pub struct RuleFields {
    /// How verdicts and reports call it; by default its list and place, as in `allow[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("use 1 to 63 lower-case letters, digits and `-` (not first or last)"),
    )]
    pub name: Option<String>,
    /// On which ports, the ones dialled; by default every port of every IP protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub ports: Vec<Port>,
}

/// One destination: a name, a range of addresses, a service, or pods.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.fqdn) || has(self.cidr) || has(self.service) || has(self.pods)")
        .message("the destination names nothing: write `fqdn: NAME`, `cidr: RANGE`, `service: {name: NAME}` or `pods: {podSelector: ...}`"),
    validation = Rule::new("[has(self.fqdn), has(self.cidr), has(self.service), has(self.pods)].filter(is, is).size() <= 1")
        .message(
            "a destination is one of these: a name, a range, a service, or pods: write two entries, as in \
             `to: [{fqdn: NAME}, {cidr: RANGE}]`"
        ),
)]
pub struct Destination {
    /// A name, as workloads look it up. `*` is exactly one label, or a part of one; `**` as the first label is one or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("!self.contains('/') && !self.contains(':') || isCIDR(self) || isIP(self)")
            .message("this is no name: write it without scheme, path and port, as in `fqdn: example.com`; ports go under `ports`"),
        validation = Rule::new("!isIP(self) && !isCIDR(self)")
            .message("this is an address: write `cidr: RANGE`, as in `cidr: 192.0.2.1/32`"),
        validation = Rule::new("!self.matches('[^.]\\\\*\\\\*|\\\\*\\\\*[^.]|.\\\\*\\\\*')")
            .message("`**` may only be the whole first label: write `**.example.com` for any depth, `*.example.com` for one label"),
        validation = Rule::new("!self.matches('^[*.]*$')")
            .message("this is every name: write `cidr: 0.0.0.0/0` and `cidr: ::/0`"),
    )]
    pub fqdn: Option<String>,
    /// A range of addresses, without bits beyond its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    #[x_kube(
        validation = Rule::new("isCIDR(self)")
            .message("this is no range: write one like `192.0.2.0/24` or `2001:db8::/32`, a single address with `/32` or `/128`"),
        validation = Rule::new("!isCIDR(self) || cidr(self) == cidr(self).masked()")
            .message("it has bits set beyond its length: write the first address of the range, as in `10.0.0.0/8`"),
    )]
    pub cidr: Option<String>,
    /// A service of the cluster: its own addresses on the ports dialled, and what is behind it on the ports that answer
    /// there. Without `ports` all ports that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Pods of the cluster, by their own addresses. `podSelector` alone: of the policy's own namespace; `namespaceSelector`
    /// alone: all pods of these namespaces; both: such pods of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
}

/// A service.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
pub struct Service {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(
        "use 1 to 63 lower-case letters, digits and `-` (not first or last), and no dots: a namespace goes under `namespace`"
    ))]
    pub name: String,
    /// Its namespace; by default the policy's own. A ClusterEgressPolicy has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("use 1 to 63 lower-case letters, digits and `-` (not first or last), and no dots"),
    )]
    pub namespace: Option<String>,
}

/// Pods.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.podSelector) || has(self.namespaceSelector)").message(
        "`pods` says nothing of which pods: write `podSelector: {matchLabels: {app: NAME}}`, or `podSelector: {}` for all of the \
         policy's own namespace"
    ),
)]
pub struct Pods {
    /// Which pods; by default all of the namespaces selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Of which namespaces; by default the policy's own. A ClusterEgressPolicy has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// Ports of one protocol.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.endPort) || has(self.port)")
        .message("`endPort` without `port`: add `port`, the first port of the range"),
    validation = Rule::new("!has(self.endPort) || !has(self.port) || self.port <= self.endPort")
        .message("the range ends before it starts: write the lower one as `port`, the higher one as `endPort`"),
    validation = Rule::new("self.protocol != 'ICMP' || !has(self.port) && !has(self.endPort)")
        .message("ICMP has no ports: take `port` and `endPort` out"),
)]
pub struct Port {
    /// TCP, UDP, SCTP, or ICMP for echo of both families.
    pub protocol: Protocol,
    /// The port dialled; by default all of the protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The last port of a range that begins with `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<i32>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}
