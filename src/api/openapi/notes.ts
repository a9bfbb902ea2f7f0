// The words behind `kubectl explain`: a line for each type and field that people ask for.

export const typeNotes = `Pod A group of containers that run together on one node and share an address and volumes.
PodSpec What a pod is to run, where it may run, and how it is treated.
PodStatus What is known about a pod: where it runs, its address, how its containers are.
PodTemplateSpec What pods made from this template look like.
Container One program of a pod: its image, command, environment, ports, mounts and limits.
EphemeralContainer A container added to a running pod to look into it; it is never restarted.
ContainerPort A port that a container listens on.
EnvVar A variable of the environment: a value, or where the value comes from.
Probe A question asked of a container again and again: does it live, is it ready, has it started.
ResourceRequirements How much of the node a container asks for, and the most it may take.
SecurityContext Under which identity and with which rights a container runs.
PodSecurityContext Identity and rights that all containers of a pod share.
Volume A directory or device that containers of the pod can mount.
VolumeMount Where a container sees a volume.
Toleration A taint of nodes that the pod puts up with.
Taint A mark on a node that keeps pods away that do not tolerate it.
Affinity Rules that draw the pod to nodes and to other pods, or keep it apart from them.
TopologySpreadConstraint How evenly pods are spread over zones or nodes.
Service A stable address and name in front of a changing set of pods.
ServiceSpec Which pods stand behind a service, and how it is reached.
ServicePort A port of a service and where it leads.
Deployment Keeps replicas of a pod running and replaces them step by step when the template changes.
DeploymentSpec How many pods a deployment keeps, from which template, and how it changes them.
DeploymentStrategy How old pods give way to new ones.
ReplicaSet Keeps a number of equal pods running.
ReplicationController The forerunner of ReplicaSet: keeps a number of equal pods running.
StatefulSet Keeps pods with lasting names and storage, in order.
DaemonSet Keeps one pod on each node that fits.
Job Runs pods until enough of them have ended well.
CronJob Makes a job at the times of a schedule.
ConfigMap Settings as keys and values, for pods to read.
Secret Keys and values that should be seen by few: passwords, tokens, certificates.
Namespace A room of its own for names, rules and quotas.
Node A machine that runs pods.
NodeSpec How the cluster treats a node.
NodeStatus What a node has and how it is.
PersistentVolume A piece of storage of the cluster.
PersistentVolumeClaim A wish for storage, met by a persistent volume.
StorageClass A kind of storage that claims can ask for, and who provides it.
Ingress Rules that lead HTTP requests from outside to services, by host and path.
IngressClass Which controller serves the ingresses that name this class.
NetworkPolicy Which traffic pods may receive and send.
Role What may be done in one namespace.
ClusterRole What may be done in the whole cluster, or in any namespace where it is bound.
RoleBinding Gives a role, in one namespace, to users, groups or service accounts.
ClusterRoleBinding Gives a cluster role, everywhere, to users, groups or service accounts.
PolicyRule Verbs that are allowed on resources or URLs.
ServiceAccount An identity for programs that run in pods.
Endpoints Addresses behind a service; EndpointSlice is the newer form.
EndpointSlice A part of the addresses behind a service.
Event Something that happened to an object.
EventsV1Event Something that happened to an object.
Lease A claim with a holder and an end, renewed as long as the holder lives.
PodDisruptionBudget How many pods of a set may be taken away at once on purpose.
HorizontalPodAutoscaler Changes the number of pods with their load.
HorizontalPodAutoscalerV1 Changes the number of pods with their load.
LimitRange Least, most and default amounts for what is made in a namespace.
ResourceQuota The most that a namespace may hold or use.
PriorityClass A name for how important pods are.
RuntimeClass A name for the way containers are run.
CustomResourceDefinition Adds a kind of object to the API.
APIService A group version of the API and the server that answers for it.
CertificateSigningRequest A wish for a certificate, to be approved and signed.
ClusterTrustBundle Certificates that a signer's certificates are checked with.
ValidatingWebhookConfiguration Web services that are asked before objects are stored.
MutatingWebhookConfiguration Web services that may change objects before they are stored.
ValidatingAdmissionPolicy Rules, written as expressions, that objects must meet to be stored.
MutatingAdmissionPolicy Changes, written as expressions, that objects undergo before they are stored.
ObjectMeta What every object has: a name, labels, owners, and the marks of the server.
ListMeta The state of a list: its version and where it goes on.
LabelSelector Which objects are meant, by their labels; all its parts must hold.
LabelSelectorRequirement One condition on a label.
OwnerReference An object that this one belongs to; when the owner goes, this one goes too.
Condition One thing that holds, or does not hold, and why.
Status How a request ended, when the answer is no object.
DeleteOptions How something is to be deleted.
Scale How many replicas there are, and should be.
ControllerRevision A remembered state of a DaemonSet or StatefulSet.
FlowSchema Which requests belong to which priority level.
PriorityLevelConfiguration How many requests of a level run at once, and how the others wait.
ResourceClaim A wish for devices.
ResourceClaimTemplate What claims made for pods look like.
DeviceClass A kind of device that claims can ask for.
ResourceSlice Devices that a driver offers.
DeviceTaintRule Marks devices so that pods keep away.
CSIDriver What the cluster must know about a storage driver.
CSINode The storage drivers of a node.
CSIStorageCapacity How much storage of a class is left in a part of the cluster.
VolumeAttachment A volume that is, or should be, attached to a node.
VolumeAttributesClass Settings of volumes that can be changed later.
StorageVersionMigration Rewrites stored objects in the newest version.
IPAddress An address that a service holds.
ServiceCIDR A range that addresses of services are taken from.
TokenReview Asks whom a token stands for.
SubjectAccessReview Asks whether somebody may do something.
SelfSubjectAccessReview Asks whether one may do something oneself.
SelfSubjectRulesReview Asks what one may do in a namespace.
SelfSubjectReview Asks who one is.
`

export const fieldNotes = `apiVersion The version of the schema that this object is written in: group/version, or v1.
kind What sort of object this is.
metadata Name, labels, owners: what every object has.
spec What is wanted.
status What was last seen. Set by the system.
items The objects of the list.
name The name.
namespace The namespace.
labels Keys and values to select objects by.
annotations Keys and values for tools and people; nothing selects by them.
uid The object's identity in time and place: never used again.
resourceVersion The state of the object, for comparing: no meaning of its own.
generation Counts the changes of what is wanted.
creationTimestamp When the object was made. Set by the server.
deletionTimestamp When the object is to go. Set by the server when it is deleted.
deletionGracePeriodSeconds How long the object has from its deletion to its end.
finalizers Who must still clean up before the object goes.
ownerReferences The objects that this one belongs to.
managedFields Who set which fields.
generateName The beginning of a name that the server completes.
selfLink Not used any more.
conditions What holds and what does not, each with a reason.
observedGeneration The generation that the status speaks of.
selector Which pods are meant, by their labels.
template What the pods look like.
replicas How many pods.
readyReplicas How many pods are ready.
availableReplicas How many pods have been ready for long enough.
updatedReplicas How many pods come from the newest template.
minReadySeconds How long a new pod must be ready before it counts.
revisionHistoryLimit How many old revisions are kept to go back to.
containers The containers of the pod, by name. At least one; the list cannot change later.
initContainers Containers that run, one after the other, before the others start.
ephemeralContainers Containers added to the running pod to look into it.
image The image to run: [registry/]name[:tag][@digest].
imagePullPolicy When the image is pulled: Always, IfNotPresent, or Never.
imagePullSecrets Secrets with the passwords of registries.
command The program to run, instead of the image's entry point. $(NAME) is replaced from the environment.
args What the program is given, instead of the image's own. $(NAME) is replaced from the environment.
env Variables of the environment.
envFrom ConfigMaps and Secrets whose keys all become variables.
ports The ports.
containerPort The port inside the container, 1 to 65535.
hostPort The port of the node that leads here; few pods need one.
hostIP The address of the node that the port is bound to, or the node's address.
protocol TCP, UDP or SCTP.
resources What is asked for and the most that may be taken.
limits The most that may be taken.
requests The least that is set aside.
volumeMounts Where volumes appear in the container.
volumeDevices Where block devices appear in the container.
mountPath Where in the container.
readOnly Only for reading.
subPath A path below the volume, instead of its root.
livenessProbe Asked again and again; the container is started anew when it fails.
readinessProbe Asked again and again; while it fails the pod gets no traffic.
startupProbe Asked until it succeeds once; the other probes wait for it.
lifecycle What is done after the start and before the end.
terminationMessagePath The file that a container leaves its last words in.
terminationMessagePolicy Where the last words come from: File, or FallbackToLogsOnError.
securityContext Identity and rights.
workingDir The directory that the program starts in.
stdin Keep standard input open.
stdinOnce Close standard input when the first who attached goes.
tty Give the program a terminal.
restartPolicy When containers are started again: Always, OnFailure, or Never.
terminationGracePeriodSeconds How long the pod has to end before it is killed.
activeDeadlineSeconds How long it may be active at most.
dnsPolicy Where the pod's names are looked up: ClusterFirst, ClusterFirstWithHostNet, Default, or None.
dnsConfig Servers, search domains and options for looking up names.
nodeSelector Labels that the node must have.
nodeName The node the pod runs on. The scheduler sets it.
serviceAccountName The identity that the pod's programs have towards the API.
serviceAccount The old name of serviceAccountName.
automountServiceAccountToken Whether the pod gets a token for its service account.
hostNetwork Use the node's network.
hostPID See the node's processes.
hostIPC Use the node's inter-process communication.
hostUsers Whether users in the pod are those of the node.
hostname The host name that the pod sees.
subdomain The domain below the namespace that the pod's name belongs to.
affinity Which nodes and which neighbours the pod seeks or avoids.
schedulerName Which scheduler places the pod.
tolerations The taints that the pod puts up with.
hostAliases Lines added to the pod's hosts file.
priorityClassName How important the pod is, by the name of a class.
priority How important the pod is: the higher, the sooner placed.
preemptionPolicy Whether less important pods may be removed for this one.
readinessGates Conditions that must hold before the pod counts as ready.
runtimeClassName The way the containers are run.
enableServiceLinks Whether services of the namespace appear as variables.
overhead What running the pod costs beside its containers.
topologySpreadConstraints How evenly the pods are spread.
schedulingGates Marks that hold the pod back from being scheduled.
volumes The volumes that containers of the pod can mount.
phase Where it is in its life.
message What happened, for people.
reason Why, in one word.
hostIPs The addresses of the node.
podIP The pod's address.
podIPs The pod's addresses, at most one of each family.
startTime When it was started.
completionTime When it was completed.
containerStatuses How each container is.
initContainerStatuses How each init container is.
ephemeralContainerStatuses How each ephemeral container is.
qosClass Guaranteed, Burstable or BestEffort: in which order pods are removed when memory is short.
nominatedNodeName Where room is being made for the pod.
lastTransitionTime When the condition last changed.
lastProbeTime When the condition was last checked.
type The type.
value The value.
key The key.
operator How the key relates to the values.
values The values.
matchLabels Labels that must be there with exactly these values.
matchExpressions Conditions on labels that must all hold.
data Keys and values.
Secret.data Keys and values, each value in base64.
stringData Keys and values in plain text; written only, they end up in data.
binaryData Keys and values that are no text, in base64.
immutable When true, the contents can never change again.
clusterIP The service's address in the cluster; None for a headless service.
clusterIPs The service's addresses in the cluster, one of each family.
externalIPs Addresses whose traffic nodes accept for this service.
externalName The name that a service of type ExternalName stands for.
externalTrafficPolicy Whether traffic from outside may go to pods on other nodes: Cluster, or Local.
internalTrafficPolicy Whether traffic from inside may go to pods on other nodes: Cluster, or Local.
sessionAffinity None, or ClientIP: the same client reaches the same pod.
ServiceSpec.type ClusterIP, NodePort, LoadBalancer or ExternalName.
ServicePort.port The port of the service.
targetPort The port of the pods, as a number or a name.
nodePort The port that every node listens on.
loadBalancerIP The address to ask the balancer for.
loadBalancerClass Which balancer is meant.
publishNotReadyAddresses Whether pods that are not ready are listed too.
ipFamilies IPv4, IPv6, or both in the order wanted.
ipFamilyPolicy SingleStack, PreferDualStack or RequireDualStack.
Deployment.spec How many pods, from which template, and how they change.
DeploymentSpec.strategy How old pods give way to new ones.
DeploymentSpec.paused Changes of the template wait as long as this is set.
DeploymentSpec.progressDeadlineSeconds How long a roll-out may take before it counts as stuck.
DeploymentStrategy.type RollingUpdate, or Recreate: all old pods go before new ones come.
rollingUpdate How a rolling update goes on.
maxUnavailable How many pods may be missing meanwhile: a number, or a percentage.
maxSurge How many pods more than wanted may run meanwhile: a number, or a percentage.
updateStrategy How pods are replaced when the template changes.
serviceName The service that gives the pods their names.
podManagementPolicy OrderedReady: one after the other; Parallel: all at once.
volumeClaimTemplates Claims made for each pod.
persistentVolumeClaimRetentionPolicy What happens to claims when pods or the set go.
schedule When to run, in cron's five fields.
timeZone The time zone of the schedule.
concurrencyPolicy What happens when the last run has not ended: Allow, Forbid or Replace.
suspend Stop making pods or jobs.
jobTemplate What the jobs look like.
completions How many pods must end well.
parallelism How many pods run at once.
backoffLimit How many failures until the job has failed.
ttlSecondsAfterFinished How long the job stays after its end.
completionMode NonIndexed, or Indexed: each pod has a number.
rules The rules.
verbs What may be done.
apiGroups The groups of the resources.
resourceNames The names that are meant; all when empty.
nonResourceURLs Paths that are no resources.
roleRef The role that is given. Cannot change.
subjects Who gets it.
storageClassName The class of the storage.
accessModes How the volume may be mounted: ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod.
capacity How much there is.
volumeName The volume that is bound.
volumeMode Filesystem, or Block.
persistentVolumeReclaimPolicy What happens to the volume after its claim: Retain, Delete or Recycle.
provisioner Who makes the volumes.
parameters Settings for whoever provides it.
reclaimPolicy What happens to volumes of this class after their claims.
volumeBindingMode Bind at once, or wait for the first pod.
unschedulable No new pods are placed here.
taints Marks that keep pods away.
podCIDR The addresses of the node's pods.
podCIDRs The addresses of the node's pods, one range of each family.
providerID What the cloud calls this machine.
allocatable What pods can have.
addresses The addresses.
nodeInfo Versions and identity of the machine.
images The images that are there.
ingressClassName Which class serves this ingress.
defaultBackend Where requests go that no rule fits.
tls Certificates for hosts.
podSelector The pods that are meant.
policyTypes Ingress, Egress, or both.
ingress Traffic that may come in.
egress Traffic that may go out.
minAvailable How many pods must stay: a number, or a percentage.
minReplicas The fewest pods.
maxReplicas The most pods.
metrics What the number of pods depends on.
scaleTargetRef What is scaled.
involvedObject The object that it happened to.
regarding The object that it happened to.
count How often.
firstTimestamp When it was first seen.
lastTimestamp When it was last seen.
eventTime When it happened.
source Who noticed.
holderIdentity Who holds the lease.
leaseDurationSeconds How long the lease lasts without being renewed.
renewTime When the lease was last renewed.
acquireTime When the lease was taken.
group The API group.
versions The versions.
scope Cluster or Namespaced.
names How the kind is called.
plural As in URLs.
singular As on the command line, for one.
shortNames Shorter names for the command line.
categories Groups of kinds, such as all.
schema The shape of the objects.
subresources The doors status and scale.
additionalPrinterColumns Columns of kubectl get.
served Whether this version can be asked for.
storage Whether objects are stored in this version.
conversion How objects are turned from one version into another.
globalDefault Whether pods without a class belong to this one.
description What it is for.
handler The runtime's own name for it.
webhooks The web services to ask.
failurePolicy What happens when there is no answer: Fail or Ignore.
clientConfig How the web service is reached.
caBundle Certificates to check the server with, PEM in base64.
httpGet Ask with an HTTP GET.
tcpSocket Try to open a TCP connection.
exec Run a program in the container.
grpc Ask the gRPC health service.
initialDelaySeconds How long to wait after the start before the first time.
periodSeconds How often.
timeoutSeconds How long an answer may take.
successThreshold How many times in a row must go well.
failureThreshold How many times in a row may go wrong.
runAsUser The user's number.
runAsGroup The group's number.
runAsNonRoot Refuse to run as root.
privileged Give the container all rights on the node.
allowPrivilegeEscalation Whether a program may gain more rights than its parent.
readOnlyRootFilesystem Make the root of the container read-only.
capabilities Rights of the kernel that are added or dropped.
seccompProfile Which system calls are allowed.
fsGroup The group that owns the pod's volumes.
emptyDir A directory that lives as long as the pod.
hostPath A path of the node.
configMap A ConfigMap.
secret A Secret.
projected Several sources in one directory.
downwardAPI Facts about the pod as files.
persistentVolumeClaim A claim in the same namespace.
claimName The name of the claim.
secretName The name of the secret.
defaultMode Permissions of the files, unless they have their own.
optional Whether it may be missing.
effect NoSchedule, PreferNoSchedule or NoExecute.
tolerationSeconds How long a NoExecute taint is put up with.
topologyKey The label whose values are the places.
`
