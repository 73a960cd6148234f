//! Who tries to go where. Pure data.

/// An application.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// Its Deployment.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// Its policy, in mode Observe: the same file as the local demo's.
    pub policy: &'static str,
    /// Where it tries to go.
    pub attempts: &'static [Try],
}

/// One thing that it tries.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// A name, or an address.
    pub to: &'static str,
    /// TCP port.
    pub port: u16,
    /// Whether its policy lets it.
    pub allowed: bool,
}

const fn allowed(to: &'static str, port: u16) -> Try {
    Try { to, port, allowed: true }
}

const fn denied(to: &'static str, port: u16) -> Try {
    Try { to, port, allowed: false }
}

/// The containers of each pod, and the C libraries that they resolve names with.
pub const LIBRARIES: [&str; 2] = ["glibc", "musl"];

/// Where the database listens.
pub const DATABASE_PORT: u16 = 5432;

/// The applications.
pub const APPS: [App; 3] = [
    App {
        name: "payment",
        namespace: "payment",
        policy: include_str!("../../../demo/payment.yaml"),
        attempts: &[
            allowed("database.payment.svc.cluster.local", DATABASE_PORT),
            denied("github.com", 443),
            denied("203.0.113.30", 443),
        ],
    },
    App {
        name: "update",
        namespace: "updates",
        policy: include_str!("../../../demo/updates.yaml"),
        attempts: &[allowed("github.com", 22), denied("github.com", 443), denied("pagerduty.com", 443)],
    },
    App {
        name: "alert",
        namespace: "alerts",
        policy: include_str!("../../../demo/alerts.yaml"),
        attempts: &[allowed("pagerduty.com", 443), denied("pagerduty.com", 22), denied("example.org", 443)],
    },
];

/// What the Payment application keeps its data in; no policy selects it.
pub const DATABASE: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: database, namespace: payment}
spec:
  selector: {matchLabels: {app: database}}
  template:
    metadata: {labels: {app: database}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: 'egret.test/busybox:1', imagePullPolicy: Never, command: [httpd, -f, -p, '5432']}
---
apiVersion: v1
kind: Service
metadata: {name: database, namespace: payment}
spec:
  selector: {app: database}
  ports: [{port: 5432}]
";

impl App {
    /// Its Deployment, as YAML.
    pub fn deployment(&self) -> String {
        let Self { name, namespace, .. } = self;
        let container = |library: &str| {
            format!("      - {{name: {library}, image: 'egret.test/{library}:1', imagePullPolicy: Never}}\n")
        };
        let containers: String = LIBRARIES.iter().map(|library| container(library)).collect();
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n{containers}"
        )
    }
}
