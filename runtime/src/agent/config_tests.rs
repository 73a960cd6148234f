use super::*;

fn flags() -> Settings {
    Settings {
        workloads: Some("workloads.yaml".into()),
        policies: Some("policies".into()),
        ..Settings::default()
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = Config::assemble(flags(), None).expect("complete");
    assert_eq!(config.socket, PathBuf::from("/run/egret/egret.sock"));
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/egret"));
    assert_eq!(config.bpffs, PathBuf::from("/sys/fs/bpf/egret"));
    assert_eq!(config.min_ttl, Duration::from_secs(30));
    assert_eq!((config.flow_grace, config.search_domains), (Duration::from_hours(1), Vec::new()));
    assert_eq!(config.cluster_ranges.len(), DEFAULT_CLUSTER.len(), "every default range parses");
    assert_eq!((config.api, config.on_tighten), (None, OnTighten::Cut));
    assert!(!config.detach_on_exit);
}

#[test]
fn a_file_says_the_same_words_and_flags_override_it() {
    let text = "
workloads: from-file.yaml
policies: /etc/egret/policies
resolvers: [192.0.2.53, '2001:db8::53']
stateDir: /tmp/state
api: 127.0.0.1:9400
socket: /tmp/egret.sock
bpffs: /tmp/bpf
clusterRanges: [10.8.0.0/16]
nodeRanges: [192.0.2.0/24]
minTTL: 5
flowGrace: 60
searchDomains: ['*.svc.cluster.local', svc.cluster.local]
onTighten: keep
metrics: 0.0.0.0:9401
detachOnExit: true
hooks: clsact
door: host
modules: /etc/egret/modules
";
    let flags = Settings {
        workloads: Some("from-flag.yaml".into()),
        detach_on_exit: Some(false),
        ..Settings::default()
    };
    let config = Config::assemble(flags, Some(("egret.yaml", text))).expect("complete");
    let expected = Config {
        inputs: Inputs::Files { workloads: "from-flag.yaml".into(), policies: "/etc/egret/policies".into() },
        plugin: None,
        modules: Some("/etc/egret/modules".into()),
        resolvers: vec!["192.0.2.53".parse().expect("IP"), "2001:db8::53".parse().expect("IP")],
        state_dir: "/tmp/state".into(),
        api: Some("127.0.0.1:9400".parse().expect("loopback")),
        metrics: Some("0.0.0.0:9401".parse().expect("an address")),
        socket: "/tmp/egret.sock".into(),
        bpffs: "/tmp/bpf".into(),
        cluster_ranges: vec!["10.8.0.0/16".parse().expect("CIDR")],
        node_ranges: vec!["192.0.2.0/24".parse().expect("CIDR")],
        min_ttl: Duration::from_secs(5),
        flow_grace: Duration::from_mins(1),
        search_domains: ["*.svc.cluster.local", "svc.cluster.local"]
            .map(|domain| Pattern::parse(domain).expect("a pattern"))
            .into(),
        on_tighten: OnTighten::Keep,
        take_over: false,
        detach_on_exit: false,
        hooks: Hooks::Clsact,
        door: Doors::Host,
    };
    assert_eq!(config, expected);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let text = "
policies: [a, b]
api: 0.0.0.0:9400
minTtl: 5
clusterRanges: [10.0.0.0/40]
resolvers: localhost
";
    let errors = Config::assemble(Settings::default(), Some(("egret.yaml", text))).expect_err("wrong");
    let told = errors.to_string();
    for part in [
        "egret.yaml:2:11: policies: ",
        "egret.yaml:3:6: api: the API has no log-in",
        "egret.yaml:4:9: `minTtl` is not a setting; there are workloads, policies,",
        "egret.yaml:5:16: clusterRanges: ",
        "egret.yaml:6:12: resolvers: ",
        "`workloads` is missing: give --workloads FILE",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert_eq!(errors.0.len(), 6, "{told}");
}

#[test]
fn a_file_that_is_no_map_is_refused_and_an_empty_one_says_nothing() {
    for (text, wrong) in
        [("", false), ("# nothing\n", false), ("- a", true), ("a: [", true), ("a: 1\na: 2", true)]
    {
        let read = Config::assemble(flags(), Some(("egret.yaml", text)));
        assert_eq!(read.is_err(), wrong, "{text:?}: {read:?}");
    }
    let long = Settings { min_ttl: Some(86_401), ..flags() };
    let grace = Settings { flow_grace: Some(86_401), ..flags() };
    for (long, key) in [(long, "minTTL"), (grace, "flowGrace")] {
        let told = Config::assemble(long, None).expect_err("too long").to_string();
        assert_eq!(told, format!("{key} of 86401 s is more than a day (86400 s)"));
    }
}

#[test]
fn kubernetes_takes_the_place_of_files_and_not_of_some() {
    let of_cluster = |flags: Settings| Config::assemble(Settings { kubernetes: Some(true), ..flags }, None);
    let named = Settings {
        node_name: Some("worker-1".into()),
        kubeconfig: Some("/k".into()),
        daemon_set: Some("egret/agents".parse().expect("a name")),
        ..Settings::default()
    };
    let config = of_cluster(named).expect("complete");
    let Inputs::Cluster(access) = config.inputs else { panic!("not of the cluster") };
    assert_eq!((access.node.as_str(), access.kubeconfig), ("worker-1", Some("/k".into())));
    assert_eq!(access.namespace, "egret");
    assert_eq!(access.daemon_set.map(|own| own.namespace + " " + &own.name).as_deref(), Some("egret agents"));
    let elsewhere = Settings { namespace: Some("agents".into()), ..Settings::default() };
    let config = of_cluster(elsewhere).expect("complete");
    let is_meant = |access: &Access| !access.node.is_empty() && access.namespace == "agents";
    assert!(matches!(config.inputs, Inputs::Cluster(access) if is_meant(&access)));
    let refused = of_cluster(flags()).expect_err("files as well").to_string();
    assert_eq!(refused.lines().count(), 2, "{refused}");
    assert!(refused.contains("`policies` is of no use with `kubernetes`"), "{refused}");
}

#[test]
fn the_plugin_is_for_pods_and_wants_both_of_its_folders() {
    let (bin, conf) = (Some("/bin".into()), Some("/conf".into()));
    let exempt = Some(vec!["kube-system".to_owned()]);
    let of_cluster = |cni_bin_dir, cni_conf_dir| Settings {
        kubernetes: Some(true),
        cni_bin_dir,
        cni_conf_dir,
        ..Settings::default()
    };
    let both = Settings { cni_exempt: exempt, ..of_cluster(bin.clone(), conf.clone()) };
    let plugin = Config::assemble(both, None).expect("complete").plugin.expect("a plugin");
    assert_eq!((plugin.bin_dir, plugin.exempt), ("/bin".into(), vec!["kube-system".to_owned()]));
    for (settings, words) in [
        (of_cluster(bin.clone(), None), "give both"),
        (of_cluster(None, conf.clone()), "give both"),
        (Settings { cni_bin_dir: bin, cni_conf_dir: conf, ..flags() }, "give `kubernetes` as well"),
    ] {
        let told = Config::assemble(settings, None).expect_err("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
    for name in ["", "egret", "/egret", "egret/", "a/b/c"] {
        assert!(name.parse::<crate::cluster::ObjectName>().is_err(), "{name}");
    }
}
