{{- define "egret.name" -}}
{{- if contains "egret" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-egret" .Release.Name }}{{ end }}
{{- end }}

{{- define "egret.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "egret.name" .) }}
{{- end }}

{{- define "egret.selector" -}}
app.kubernetes.io/name: egret
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "egret.labels" -}}
{{ include "egret.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "egret.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What each agent is told: the operator's settings, and where things are in its pod. */}}
{{- define "egret.config" -}}
{{- $own := dict
  "kubernetes" true
  "socket" (printf "%s/egret.sock" .Values.hostPaths.run)
  "stateDir" .Values.hostPaths.state
  "bpffs" .Values.hostPaths.bpffs
  "metrics" (printf "%s:%v" .Values.metrics.address .Values.metrics.port) }}
{{- if .Values.cni.enabled }}
{{- $own = merge $own (dict "cniBinDir" .Values.cni.binDir "cniConfDir" .Values.cni.confDir "cniExempt" .Values.cni.exemptNamespaces) }}
{{- end }}
{{- if .Values.networkPolicies.enabled }}
{{- $own = merge $own (dict "networkPolicies" true) }}
{{- end }}
{{- if .Values.clusterNetworkPolicies.enabled }}
{{- $own = merge $own (dict "clusterNetworkPolicies" true) }}
{{- end }}
{{- if .Values.modules.hostPath }}
{{- $own = merge $own (dict "modules" "/etc/egret-modules") }}
{{- end }}
{{- toYaml (merge $own .Values.config) }}
{{- end }}
