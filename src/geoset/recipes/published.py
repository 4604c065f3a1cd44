"""Published figures: tables 1 to 10 and section 5.2 of arXiv 2203.15361, in %.

mIoU of semantic segmentation; AP50, AP75 and AP of detection and instance segmentation. ResNet-50
unless a key says otherwise. None: not published.
"""

MIOU_SCANNET = {  # Table 1
    "resnet50": {
        "scratch": 39.1,
        "imagenet": 55.7,
        "moco": 56.6,
        "depth": 58.4,
        "view": 61.3,
        "geo": 61.1,
        "view_geo": 61.7,
        "sets": 63.1,
    },
    "resnet18": {
        "scratch": 37.5,
        "imagenet": 51.0,
        "moco": 52.9,
        "depth": None,
        "view": 54.4,
        "geo": 55.3,
        "view_geo": 55.7,
        "sets": 57.2,
    },
}
MIOU_FEW_LABELS = {  # Table 2, by the share of the training images; also Figure 3
    "view_geo": {0.2: 51.5, 0.4: 56.2, 0.6: 58.9, 0.8: 60.3, 1.0: 61.7},
    "sets": {0.2: 54.1, 0.4: 58.3, 0.6: 60.4, 0.8: 61.5, 1.0: 63.1},
}
MIOU_ARCHITECTURES = {  # Table 3
    "deeplabv3": {"imagenet": 57.0, "view_geo": 61.3, "sets": 62.2},
    "deeplabv3plus": {"imagenet": 57.8, "view_geo": 61.6, "sets": 62.7},
    "pspnet": {"imagenet": 59.7, "view_geo": 62.8, "sets": 63.7},
}
AP_SCANNET = {
    "box": {  # Table 4
        "scratch": (32.7, 17.7, 16.9),
        "imagenet": (41.7, 25.9, 25.1),
        "moco": (43.5, 26.8, 25.8),
        "view": (43.7, 27.0, 26.3),
        "geo": (44.2, 27.6, 26.6),
        "view_geo": (44.5, 27.4, 26.6),
        "sets": (45.1, 27.6, 26.9),
    },
    "mask": {  # Table 5
        "scratch": (25.8, 13.1, 12.2),
        "imagenet": (32.6, 17.8, 17.6),
        "moco": (33.9, 18.1, 18.3),
        "view": (34.3, 18.7, 18.3),
        "geo": (34.4, 18.7, 18.3),
        "view_geo": (35.8, 19.3, 18.7),
        "sets": (36.0, 19.3, 19.5),
    },
}
MIOU_NYUV2 = {  # Table 6
    "scratch": 24.8,
    "imagenet": 50.0,
    "moco": 47.6,
    "view": 54.2,
    "geo": 54.8,
    "view_geo": 54.7,
    "sets": 55.4,
}
AP_NYUV2 = {
    "box": {  # Table 7
        "scratch": (21.3, 10.3, 9.0),
        "imagenet": (29.9, 17.3, 16.8),
        "moco": (30.1, 18.1, 17.3),
        "view": (33.0, 19.8, 18.9),
        "geo": (33.8, 20.2, 19.1),
        "view_geo": (34.0, 20.4, 19.4),
        "sets": (34.6, 20.5, 19.7),
    },
    "mask": {  # Table 8
        "scratch": (17.2, 9.2, 8.8),
        "imagenet": (25.1, 13.9, 13.4),
        "moco": (27.2, 14.7, 14.8),
        "view": (28.1, 15.7, 15.7),
        "geo": (29.0, 15.9, 15.2),
        "view_geo": (29.5, 16.3, 15.8),
        "sets": (29.7, 16.3, 16.5),
    },
}
MIOU_THRESHOLDS = {0.01: 63.2, 0.02: 62.9, 0.03: 62.9, 0.04: 63.2, 0.05: 63.1}  # Table 9
MIOU_CONTINUED = {  # Table 10
    "view_geo": 61.7,
    "continue_view": 61.4,
    "continue_geo": 61.6,
    "continue_view_geo": 61.5,
    "sets": 63.1,
}
MIOU_SECTION_5_2 = {"random_pixel": 63.1, "truth": 66.4}
