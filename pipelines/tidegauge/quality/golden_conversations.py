"""The golden set's conversations: in the good ones the user gets what they came for.

Written for this project.
"""

# ruff: noqa: E501 - a table

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CONVERSATIONS", "ConversationText"]


class ConversationText(NamedTuple):
    """A conversation of two turns with three ends.

    Attributes:
        opening: What the user wants.
        question: What the assistant asks back.
        detail: What the user answers.
        reached: The assistant's last answer, with which the goal is met.
        missed: One that leads nowhere.
        other: One that does something else than what was asked.
    """

    opening: str
    question: str
    detail: str
    reached: str
    missed: str
    other: str


# fmt: off
CONVERSATIONS: Final = (
    ConversationText("I need to move my dentist appointment to next week.", "Which day next week suits you?", "Wednesday afternoon, please.", "Done: your appointment is now on Wednesday at 15:30. You will get a text message the day before.", "Appointments can be moved in many ways. Is there anything else I can tell you about appointments?", "Your appointment is cancelled. We are sorry to see you go."),
    ConversationText("My parcel has not arrived. Where is it?", "What is the number on your receipt?", "It is 77-412.", "Parcel 77-412 is at the depot in Leeds and will be delivered tomorrow before noon.", "What is the number on your receipt?", "You can send a parcel at any of our shops; the smallest box costs 4 pounds."),
    ConversationText("Can you help me reset my password?", "Do you still have access to the mail address of the account?", "Yes, I do.", "I have sent a link to that address. Open it within an hour, choose a new password, and you are in.", "Passwords are important. Please reset your password and try again.", "I have changed your mail address as you wished."),
    ConversationText("I want a refund for the blender, it broke on the first day.", "I am sorry. Do you want the money back, or a new one?", "The money back.", "I have refunded 39 euros to your card; it takes three to five days. You can keep the blender.", "I understand that you are upset. Blenders can break for many reasons.", "A new blender is on its way to you."),
    ConversationText("How do I get from the station to the museum?", "On foot or by bus?", "By bus, I have a suitcase.", "Take bus 12 from platform C, in the direction of the harbour, and get off at the fourth stop, Museum Street.", "There are several ways to get there. It depends on how you want to travel.", "The museum shows paintings of the 19th century and has a shop."),
    ConversationText("I would like to book a table for tonight.", "For how many people, and at what time?", "Four of us, at eight.", "A table for four at 20:00 tonight is booked in your name. See you later!", "We would love to have you. Please tell us when you want to come.", "Your pizza will be at your door at eight."),
    ConversationText("The app crashes when I open a photo.", "Which version do you have? It stands in the settings, under About.", "3.2.1", "Version 3.2.1 has that fault. Update to 3.2.2, which came out yesterday; your photos stay where they are.", "Crashes can be annoying. Have you tried to use the app?", "To take better photos, hold the phone still and mind the light."),
    ConversationText("Please translate this sentence into Spanish for a birthday card.", "Gladly. Which sentence?", "We wish you a wonderful year.", "Te deseamos un año maravilloso.", "Spanish is spoken by some 500 million people. Which sentence would you like to have translated?", "Nous vous souhaitons une belle journée."),
    ConversationText("I can't log in to the online bank.", "What does the page say?", "That my account is locked after three attempts.", "I have unlocked it. Use your card reader for the next login and choose a new PIN when you are asked.", "Please log in to the online bank to see the state of your account.", "Your new credit card has been ordered and costs 30 euros a year."),
    ConversationText("How much would it cost to insure my bike?", "What did it cost when it was new?", "900 euros.", "Theft and damage together are 6.40 euros a month for a bike of 900 euros, with 50 euros to pay yourself.", "The price depends on the price of your bike. What did it cost?", "A helmet protects your head and costs about 50 euros."),
    ConversationText("I need a recipe for dinner without milk.", "How much time do you have?", "Half an hour.", "Fry an onion with garlic, add a tin of tomatoes and a tin of chickpeas, let it cook for fifteen minutes with cumin, and serve it over rice.", "There are many recipes without milk. I am sure that you will find a nice one.", "Pancakes: whisk 250 ml of milk with two eggs and flour, and bake them in butter."),
    ConversationText("Could you cancel my gym membership?", "From when on?", "From the end of March.", "Your membership ends on 31 March. The confirmation is in your inbox, and nothing will be charged after that.", "We have great courses in spring. Do you really want to miss them?", "Your membership has been extended until March of next year."),
    ConversationText("My internet is down.", "Is the light on the router red or green?", "It is red.", "There is a failure in your street; a technician is there now, and it will be back by 18:00. I will text you then.", "Many things can cause this. Please check whether your internet works.", "With our fast plan you get twice the speed for 10 euros more."),
    ConversationText("I forgot my umbrella on the train this morning.", "Which train was it, and what does it look like?", "The 7:40 to York, it is a green one with a wooden handle.", "It was found and is kept for you at the lost property office in York, open until 19:00. Its number is U-318.", "Losing things is unpleasant. What did you lose?", "It will rain in York tomorrow, so take an umbrella along."),
    ConversationText("Please write a short note to my neighbour about the noise.", "Friendly or firm?", "Friendly.", "Dear neighbour, the walls here are thin, and we hear your music late at night. Could you turn it down after ten? Thank you, and come over for coffee some time!", "A friendly note is often a good idea. You could write that the music is too loud.", "Dear landlord, I hereby end the lease of my flat."),
    ConversationText("What do I need for a residence permit?", "Are you going to work or to study?", "To study, for two years.", "For students: passport, letter of admission, proof of health insurance, and of 934 euros a month. Book the appointment online, six weeks ahead.", "You need the documents that are required for a residence permit.", "A tourist visa is good for 90 days and needs a photo."),
    ConversationText("I want to change the address on my order.", "What is the new address?", "14 Mill Lane, Derby.", "The order goes to 14 Mill Lane, Derby, now, and still arrives on Friday.", "You can find your address in your profile. Which address do you mean?", "Your order was doubled: two parcels will arrive on Friday."),
    ConversationText("Can you explain what a deductible is?", "Gladly. Is it about your car insurance?", "Yes.", "It is the part of a damage that you pay yourself. With a deductible of 300 euros and a damage of 1,000, the insurance pays 700.", "A deductible is a term from insurance contracts. Insurance is a large subject.", "Your car insurance is 480 euros a year and is due in January."),
    ConversationText("I'd like to report a broken street light.", "Where is it?", "Corner of Oak Road and Elm Road.", "Thank you, it is reported under number 5506. Somebody will repair it within five working days.", "Street lights are the town's responsibility. Where is the street light?", "Parking at the corner of Oak Road costs 1.50 an hour."),
    ConversationText("Which of your laptops is good for video editing?", "What is the most that you want to spend?", "1,200 dollars.", "The Nova 15 for 1,149: 32 GB of memory and a graphics chip that handles 4K. The lighter Nova 13 is too slow for that.", "All of our laptops are good. It depends on what you want to do with it.", "Our cheapest mouse costs 12 dollars and has three buttons."),
    ConversationText("I need a doctor's note for yesterday.", "Were you in the practice yesterday?", "Yes, at nine, with Dr. Hale.", "I have found the visit. The note for yesterday is ready to be picked up at the desk until six.", "Doctor's notes are written by doctors. Please ask a doctor.", "You have an appointment with Dr. Hale tomorrow at nine."),
    ConversationText("Why was I charged twice this month?", "Which dates do the charges have?", "The 2nd and the 3rd, 15 euros each.", "The second one was our mistake. I have cancelled it, and you have the 15 euros back by Monday.", "Charges are made every month. You can see your charges on the bill.", "From next month on you pay 18 euros, since prices rise."),
    ConversationText("Can I bring my dog to the hotel?", "How large is it?", "Small, 6 kilos.", "Yes, dogs of up to 10 kilos are welcome for 8 euros a night. I have noted it in your booking.", "Dogs are lovely. Many guests ask us about dogs.", "Children under six stay for free in their parents' room."),
    ConversationText("I'm looking for the form to enrol my daughter in school.", "For which class?", "First class, in September.", "It is form A-1, here: school.example.org/a1. Hand it in by 30 April with her birth certificate.", "Enrolling is done with a form. You can get the form from where the forms are.", "The holidays begin on 18 July and last for six weeks."),
    ConversationText("My coffee machine says E4. What do I do?", "Is there water in the tank?", "Yes, it is full.", "E4 means that scale blocks the pump. Fill in the descaler, hold the button for five seconds, and let it run through twice.", "E4 is an error. Please consult somebody who knows about errors.", "For a good espresso, use 8 grams of finely ground coffee."),
    ConversationText("Please find me a cheap flight to Lisbon.", "When do you want to fly?", "On 4 May, back on the 11th.", "The cheapest is 98 euros: out on 4 May at 6:20, back on 11 May at 21:45, with hand luggage. Shall I hold it for a day?", "Flights differ in price. It is best to compare them.", "A nice hotel in Lisbon costs 120 euros a night."),
)
# fmt: on
