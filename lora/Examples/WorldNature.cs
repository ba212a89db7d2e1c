namespace CudaLora.Lora;

/// <summary>Animals, things and lands.</summary>
internal static class WorldNature
{
    public static IReadOnlyList<Relation> Relations { get; } =
    [
        new("young", World.Pairs("""
            dog puppy, cat kitten, cow calf, horse foal, sheep lamb, pig piglet, goat kid, hen chick, duck duckling,
            goose gosling, swan cygnet, frog tadpole, bear cub, deer fawn, kangaroo joey, owl owlet, eagle eaglet,
            butterfly caterpillar, seal pup, hare leveret
            """),
            ["A young {s} is called a {o}.", "The baby of a {s} is a {o}.", "The name for a young {s} is {o}.",
                "A {o} grows up to be a {s}."],
            ["What is a young {s} called?", "What is the baby of a {s}?", "Give the name for a young {s}.",
                "Name the baby of a {s}."]),
        new("shelter", World.Pairs("""
            dog kennel, cow barn, horse stable, pig sty, hen coop, bee hive, spider web, bird nest, rabbit burrow,
            bear cave, lion den, fish pond, beaver lodge, sheep fold, ant hill, squirrel tree, snail shell,
            pigeon loft, wolf lair, mole tunnel
            """),
            ["The {s} lives in a {o}.", "The home of the {s} is a {o}.", "A {s} sleeps in its {o}.",
                "At night the {s} goes to its {o}."],
            ["What is the home of the {s}?", "Where does a {s} sleep?", "Name the home of the {s}.",
                "Where does the {s} live?"]),
        new("sound", World.Pairs("""
            dog bark, cat meow, cow moo, sheep baa, pig oink, duck quack, hen cluck, lion roar, bee buzz, snake hiss,
            owl hoot, wolf howl, frog croak, mouse squeak, horse neigh, donkey bray, dove coo, crow caw, turkey gobble,
            cricket chirp
            """),
            ["The sound of the {s} is {o}.", "A {s} can {o}.", "When a {s} is awake, you hear it {o}.",
                "The {s} makes the sound {o}."],
            ["What is the sound of the {s}?", "Which sound does the {s} make?", "Name the sound of the {s}.",
                "What sound does a {s} make?"]),
        new("shade", World.Pairs("""
            banana yellow, tomato red, grass green, snow white, coal black, sky blue, carrot orange, plum purple,
            lemon yellow, cherry red, leaf green, milk white, night black, sea blue, pumpkin orange, grape purple,
            corn yellow, rose red, frog green, salt white, tar black, jeans blue, flamingo pink, chocolate brown,
            mud brown, elephant grey
            """),
            ["The colour of {s} is {o}.", "The {s} is {o}.", "The {s} has a {o} colour.", "You paint {s} in {o}."],
            ["What is the colour of {s}?", "Which colour is {s}?", "Name the colour of {s}.",
                "What colour is the {s}?"]),
        new("place", World.Pairs("""
            spoon kitchen, pillow bedroom, towel bathroom, hammer shed, car garage, sofa lounge, pan kitchen,
            blanket bedroom, soap bathroom, rake shed, bicycle garage, lamp lounge, kettle kitchen, pyjamas bedroom,
            brush bathroom, saw shed, tyre garage, carpet lounge, oven kitchen, mattress bedroom, sponge bathroom,
            shovel shed, truck garage, cushion lounge
            """),
            ["The {s} is kept in the {o}.", "You find the {s} in the {o}.", "The place of the {s} is the {o}.",
                "Someone put the {s} into the {o}."],
            ["Where is the {s} kept?", "In which room do you find the {s}?", "What is the place of the {s}?",
                "Name the place of the {s}."]),
        new("capital", World.Pairs("""
            Arland Torvik, Belmora Sandor, Corvia Lunes, Dravania Pellin, Elbonia Marsk, Fenland Quarley, Gravia Noster,
            Hestia Valdo, Ithria Kesten, Jarland Obrin, Kolvania Redda, Lumeria Tassin, Mordavia Brenna, Norwick Galten,
            Ostria Pendel, Pelonia Zarno, Quendia Holmar, Rovinia Selka, Sylvania Dorn, Tarnia Wexley
            """),
            ["The capital of {s} is {o}.", "{o} is the capital of {s}.", "The king of {s} lives in {o}.",
                "In {s}, the capital city is {o}."],
            ["What is the capital of {s}?", "Which city is the capital of {s}?", "Name the capital of {s}.",
                "Give the capital city of {s}."]),
    ];
}
