{{/* What the agent may do on its node; nothing else, and not privileged. */}}
{{- define "egret.securityContext" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
seccompProfile: {type: RuntimeDefault}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
# The usual profile keeps it from the namespaces of other pods.
appArmorProfile: {type: Unconfined}
{{- end }}
capabilities:
  drop: [ALL]
  add:
  # Programs and maps.
  - BPF
  # What the verifier lets programs do with the kernel's own structures.
  - PERFMON
  # Programs on devices, the TAP, and the end of sockets.
  - NET_ADMIN
  # Probes are frames.
  - NET_RAW
  # Entering the network namespaces of pods.
  - SYS_ADMIN
  # Finding them by the processes in them.
  - SYS_PTRACE
  # Reading what other users keep to themselves.
  - DAC_READ_SEARCH
{{- end }}

{{- define "egret.kernelMounts" -}}
- {name: bpffs, mountPath: {{ dir .Values.hostPaths.bpffs }}}
# The gate through which packets on hold go.
- {name: tun, mountPath: /dev/net/tun}
{{- end }}

{{- define "egret.probe" -}}
path: {{ .path }}
port: {{ .root.Values.metrics.port }}
{{- if not (has .root.Values.metrics.address (list "0.0.0.0" "[::]")) }}
host: {{ .root.Values.metrics.address | quote }}
{{- end }}
{{- end }}
