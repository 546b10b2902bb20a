"""Verbs: what a person can ask for, one typed request each; see `avatargpt.verbs.request`."""

# verb, as on the command line -> where the class of its request is
VERBS = {
    "generate": "avatargpt.verbs.generate:GenerateRequest",
    "describe": "avatargpt.verbs.describe:DescribeRequest",
    "inbetween": "avatargpt.verbs.join:InbetweenRequest",
    "extend": "avatargpt.verbs.join:ExtendRequest",
    "read": "avatargpt.verbs.describe:ReadRequest",
    "actions": "avatargpt.verbs.actions:ActionsRequest",
    "reconstruct": "avatargpt.verbs.join:ReconstructRequest",
    "plan": "avatargpt.verbs.plan:PlanRequest",
    "long": "avatargpt.verbs.plan:LongRequest",
    "face": "avatargpt.verbs.face:ActFaceRequest",
    "gesture": "avatargpt.verbs.speech:GestureRequest",
    "speak": "avatargpt.verbs.speech:SpeakRequest",
    "task": "avatargpt.verbs.task:TaskRequest",
    "capture": "avatargpt.verbs.files:CaptureRequest",
    "export": "avatargpt.verbs.files:ExportRequest",
}
