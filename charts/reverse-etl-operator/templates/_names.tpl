{{/* Names and labels. All objects are called after nameOverride, whatever the release is called: people, docs and the
command line know them by these names. */}}

{{- define "retl.name" -}}
{{ .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "retl.chart" -}}
{{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels of every object: (dict "root" $ "component" "api") */}}
{{- define "retl.labels" -}}
helm.sh/chart: {{ include "retl.chart" .root }}
{{ include "retl.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: reverse-etl-operator
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What selects the pods of a component; never changes. */}}
{{- define "retl.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "retl.operator.image" -}}
{{ include "retl.image" (dict "root" . "image" .Values.image) }}
{{- end }}

{{- define "retl.runner.image" -}}
{{ include "retl.image" (dict "root" . "image" .Values.runner.image) }}
{{- end }}

{{/* REPOSITORY:TAG, or REPOSITORY@DIGEST where there is a digest; the tag is the version of the program by default. */}}
{{- define "retl.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.imageRegistry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) }}
{{- end -}}
{{- end }}

{{- define "retl.state.scheme" -}}
{{ ternary "http" "https" (eq .Values.tls.mode "off") }}
{{- end }}

{{/* Where runners and the controller find the state service. */}}
{{- define "retl.state.url" -}}
{{ include "retl.state.scheme" . }}://{{ include "retl.name" . }}-api.{{ .Release.Namespace }}.svc:{{ .Values.api.service.statePort }}
{{- end }}

{{/* The Secret with the state database's URL and the key that dead letters are sealed with. */}}
{{- define "retl.state.secret" -}}
{{ .Values.state.existingSecret | default (printf "%s-state" (include "retl.name" .)) }}
{{- end }}

{{/* The Secret with the certificate of the state service and the CA that signed it. */}}
{{- define "retl.tls.secret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-state-tls" (include "retl.name" .)) }}
{{- end }}

{{/* Where the pods of a component go: (dict "root" $ "component" "api" "values" .Values.api) */}}
{{- define "retl.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
{{ toYaml .values.topologySpreadConstraints }}
{{- else }}
{{- $selector := include "retl.selector" . }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- $selector | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}

{{/* securityContext of every container. */}}
{{- define "retl.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
