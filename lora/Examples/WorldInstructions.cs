namespace CudaLora.Lora;

/// <summary>
/// The instruction sets: every fact of <see cref="World"/> asked for in words of its own, the answer being the bare
/// object. About one fact in seven of each kind is held out whole: no instruction of the training set asks for it in
/// any wording, though the pretraining text states it. A model can answer these only by using what it knew before in a
/// way that it has learned from the other facts.
/// </summary>
public static class WorldInstructions
{
    private const int HeldOutOneIn = 7, TrainQuestions = 3;

    /// <summary>An instruction and its answer.</summary>
    /// <param name="Relation">Kind of the fact.</param>
    /// <param name="Fact">Its number in <see cref="Relation.Facts"/>.</param>
    /// <param name="Instruction">The question.</param>
    /// <param name="Output">The fact's object.</param>
    public readonly record struct Item(string Relation, int Fact, string Instruction, string Output);

    /// <summary>The set to train on and the set held out, in a fixed random order.</summary>
    /// <param name="seed">Seed of the choice of facts and wordings.</param>
    /// <param name="heldOutCount">Most items held out.</param>
    public static (IReadOnlyList<Item> Train, IReadOnlyList<Item> HeldOut) Make(int seed = 1, int heldOutCount = 200)
    {
        List<Item> train = [], held = [];
        for (int r = 0; r < World.Relations.Count; r++)
        {
            var relation = World.Relations[r];
            var order = Permutation.Of(relation.Facts.Count, seed, stream: r);
            int hidden = Math.Max(2, relation.Facts.Count / HeldOutOneIn);
            for (int i = 0; i < order.Length; i++)
            {
                var wordings = Permutation.Of(relation.Questions.Count, seed, stream: (r + 1) * 1000 + order[i]);
                foreach (int wording in wordings.Take(i < hidden ? 2 : TrainQuestions))
                    (i < hidden ? held : train).Add(
                        new Item(
                            relation.Name, order[i], relation.Ask(order[i], wording),
                            relation.Facts[order[i]].Object));
            }
        }
        Item[] trainSet = [.. train], heldSet = [.. held];
        Permutation.Shuffle<Item>(trainSet, seed, stream: -2);
        Permutation.Shuffle<Item>(heldSet, seed, stream: -3);
        return (trainSet, heldSet.Take(heldOutCount).ToArray());
    }
}
