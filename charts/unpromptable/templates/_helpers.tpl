{{- define "unpromptable.labels" -}}
app.kubernetes.io/name: unpromptable
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: unpromptable
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "unpromptable.mlflowSelector" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: mlflow
{{- end }}

{{- define "unpromptable.image" -}}
{{- $registry := index . 0 -}}{{- $name := index . 1 -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $name }}
{{- end }}

{{- define "unpromptable.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* An address as it is, without an account in it: a ConfigMap, a list of processes and a log would show that. */}}
{{- define "unpromptable.address" -}}
{{- $name := index . 0 -}}{{- $address := index . 1 -}}
{{- if contains "@" $address }}{{ fail (printf "%s: give the address without user:password@; an account belongs in a Secret" $name) }}{{ end -}}
{{- $address -}}
{{- end }}

{{/* The port of the object store's endpoint: its own, else that of its scheme. */}}
{{- define "unpromptable.endpointPort" -}}
{{- $endpoint := include "unpromptable.address" (list "objectStore.endpoint" .Values.objectStore.endpoint) | default "https://" | urlParse -}}
{{- regexFind ":[0-9]+$" $endpoint.host | trimPrefix ":" | default (ternary "80" "443" (eq $endpoint.scheme "http")) -}}
{{- end }}

{{- define "unpromptable.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
http{{ if .Values.mlflow.tls.enabled }}s{{ end }}://{{ .Release.Name }}-mlflow.{{ .Release.Namespace }}.svc:{{ .Values.mlflow.port }}
{{- else -}}
{{ include "unpromptable.address" (list "mlflow.externalUri" .Values.mlflow.externalUri) }}
{{- end }}
{{- end }}

{{/* Every name by which the Service can be reached, with its port and without: MLflow compares the Host header as it comes. */}}
{{- define "unpromptable.allowedHosts" -}}
{{- $service := printf "%s-mlflow" .Release.Name -}}
{{- $hosts := list "localhost" "127.0.0.1" $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) -}}
{{- $all := list -}}
{{- range $hosts -}}{{- $all = append (append $all .) (printf "%s:%v" . $.Values.mlflow.port) -}}{{- end -}}
{{- join "," (concat $all .Values.mlflow.allowedHosts) -}}
{{- end }}

{{- define "unpromptable.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "unpromptable.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What `plan` finds in its environment, all of it optional: Secrets and ConfigMap by the names the pipeline is given. */}}
{{- define "unpromptable.stepEnvironment" -}}
{{- $tracking := .Values.mlflow.auth.stepsSecret | default "unpromptable-mlflow" -}}
- { name: UNPROMPTABLE_TRACKING_USERNAME, valueFrom: { secretKeyRef: { name: {{ $tracking }}, key: username, optional: true } } }
- { name: UNPROMPTABLE_TRACKING_PASSWORD, valueFrom: { secretKeyRef: { name: {{ $tracking }}, key: password, optional: true } } }
- { name: AWS_ACCESS_KEY_ID, valueFrom: { secretKeyRef: { name: unpromptable-object-store, key: access-key, optional: true } } }
- { name: AWS_SECRET_ACCESS_KEY, valueFrom: { secretKeyRef: { name: unpromptable-object-store, key: secret-key, optional: true } } }
- { name: UNPROMPTABLE_TRACKING_URI, valueFrom: { configMapKeyRef: { name: {{ .Release.Name }}, key: MLFLOW_TRACKING_URI, optional: true } } }
- { name: UNPROMPTABLE_TRACKING_CA, valueFrom: { configMapKeyRef: { name: {{ .Release.Name }}, key: MLFLOW_TRACKING_CA, optional: true } } }
- { name: AWS_ENDPOINT_URL, valueFrom: { configMapKeyRef: { name: {{ .Release.Name }}, key: AWS_ENDPOINT_URL, optional: true } } }
- { name: AWS_DEFAULT_REGION, valueFrom: { configMapKeyRef: { name: {{ .Release.Name }}, key: AWS_DEFAULT_REGION, optional: true } } }
- { name: AWS_REGION, valueFrom: { configMapKeyRef: { name: {{ .Release.Name }}, key: AWS_REGION, optional: true } } }
{{- end }}

{{/* The folders that Kubeflow Pipelines mounts into every step for itself. */}}
{{- define "unpromptable.scratch" -}}
{{- dict "gcs-scratch" "/gcs" "s3-scratch" "/s3" "minio-scratch" "/minio" "dot-local-scratch" "/.local" "dot-cache-scratch" "/.cache" "dot-config-scratch" "/.config" | toJson -}}
{{- end }}

{{/* Whether MLflow keeps anything on its own volume. */}}
{{- define "unpromptable.mlflowVolume" -}}
{{- if or (not .Values.mlflow.database.external) (not .Values.mlflow.artifacts.s3) }}yes{{ end -}}
{{- end }}

{{/* The Secrets that the steps read: MLflow's account under the name it has here, the others as the pipeline's parameters call them. */}}
{{- define "unpromptable.stepSecrets" -}}
{{- list (.Values.mlflow.auth.stepsSecret | default "unpromptable-mlflow") "unpromptable-object-store" "unpromptable-hub" | uniq | toJson -}}
{{- end }}

{{/* What a submission must be told, because it differs from the pipeline's defaults: a dict of parameter -> value. */}}
{{- define "unpromptable.parameters" -}}
{{- $told := dict -}}
{{- if ne .Release.Name "unpromptable" }}{{ $_ := set $told "volume" (printf "%s-store" .Release.Name) }}{{ $_ := set $told "config" .Release.Name }}{{ end -}}
{{- if not (has .Values.mlflow.auth.stepsSecret (list "" "unpromptable-mlflow")) }}{{ $_ := set $told "tracking_secret" .Values.mlflow.auth.stepsSecret }}{{ end -}}
{{- toJson $told -}}
{{- end }}

{{/* The Secret with the server's certificate and key. */}}
{{- define "unpromptable.certificate" -}}
{{- .Values.mlflow.tls.existingSecret | default (printf "%s-mlflow-tls" .Release.Name) -}}
{{- end }}

{{/* Where a step may connect to. Ports are the pods' own: a Service's port is translated before the rule is asked. */}}
{{- define "unpromptable.stepEgress" -}}
{{- $steps := .Values.networkPolicy.steps -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- to:
    {{- range $steps.apiServer }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    {{- range $steps.apiServerPorts }}
    - { port: {{ . }} }
    {{- end }}
# Kubeflow Pipelines: its API server, its metadata, its object store
{{- $kfp := dict "matchLabels" (dict "kubernetes.io/metadata.name" $steps.kfpNamespace) | toJson }}
- to: [{ namespaceSelector: {{ $kfp }}, podSelector: { matchLabels: { app: ml-pipeline } } }]
  ports: [{ port: 8887 }, { port: 8888 }]
- to: [{ namespaceSelector: {{ $kfp }}, podSelector: { matchLabels: { component: metadata-grpc-server } } }]
  ports: [{ port: 8080 }]
- to: [{ namespaceSelector: {{ $kfp }}, podSelector: { matchExpressions: [{ key: app, operator: In, values: [seaweedfs, minio] }] } }]
  ports: [{ port: 8333 }, { port: 9000 }]
{{- if .Values.mlflow.enabled }}
- to: [{ podSelector: { matchLabels: {{ include "unpromptable.mlflowSelector" . | fromYaml | toJson }} } }]
  ports: [{ port: {{ .Values.mlflow.port }} }]
{{- end }}
{{- with $steps.peers }}
- to: {{- toYaml . | nindent 4 }}
{{- end }}
{{- if $steps.internet }}
- to:
    - ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16] }
    - ipBlock: { cidr: "::/0", except: ["fc00::/7", "fe80::/10"] }
  ports: [{ port: 443 }]
{{- end }}
{{- end }}

{{/* Whom a role is bound to. */}}
{{- define "unpromptable.subjects" -}}
{{- $namespace := index . 0 -}}
{{- range index . 1 }}
- kind: {{ .kind }}
  name: {{ .name }}
  {{- if eq .kind "ServiceAccount" }}
  namespace: {{ .namespace | default $namespace }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end }}
