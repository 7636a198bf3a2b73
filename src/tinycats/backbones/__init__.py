"""Image networks of timm, their ImageNet weights, and the features of a frozen one."""
