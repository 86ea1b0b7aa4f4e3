{{- define "ocr-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ocr-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "ocr-operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ocr-operator.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ocr-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ocr-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* managed-by is Helm here, and so never what the operator selects its own children by. */}}
{{- define "ocr-operator.labels" -}}
{{ include "ocr-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: ocr-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ocr-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ocr-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A full reference from {repository, tag, digest}, given as (list values default-tag); empty without a repository. */}}
{{- define "ocr-operator.image" -}}
{{- $image := index . 0 -}}
{{- if $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The namespaces that get a Role, as JSON: the named ones and the operator's own, which is always watched. */}}
{{- define "ocr-operator.namespaces" -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | toJson -}}
{{- end -}}

{{/* What the operator does in every namespace that it serves. It never reads a Secret. */}}
{{- define "ocr-operator.rules" -}}
- apiGroups: [ocr-operator.dev]
  resources: [ocrservices]
  verbs: [get, list, watch]
# Of the profiles only those of the operator's own namespace are asked for, but by the watch that all kinds share.
- apiGroups: [ocr-operator.dev]
  resources: [ocrstartupprofiles]
  verbs: [list, watch]
- apiGroups: [ocr-operator.dev]
  resources: [ocrservices/status]
  verbs: [patch]
# An apply that makes a new object needs both patch and create. Children go with their owner: none is deleted.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Whether its namespace is being deleted, asked before a child is made again.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}

{{- define "ocr-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "ocr-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
