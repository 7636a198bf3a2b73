"""Where images come from: archives, downloads, folders of images, Oxford-IIIT Pet, drawn cats, and merging them."""
